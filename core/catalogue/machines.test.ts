import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Machine } from '../domain/machine.ts';
import { GroupCommit } from './group-commit.ts';
import { CachedMachines } from './machines.ts';
import { migrate } from './migrations.ts';
import { openNodeSqlite, relaxedCommits } from './node-sqlite.ts';
import type { CatalogueDatabase, CatalogueSchema } from './schema.ts';

let directory: string;
let db: CatalogueDatabase;
let disk: 'good' | 'full';
let group: GroupCommit;
let machines: CachedMachines;
let close: () => Promise<void>;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'overdub-machines-'));
  const path = join(directory, 'catalogue.db');
  db = openNodeSqlite<CatalogueSchema>(path);
  await migrate(db);
  disk = 'good';
  const commits = relaxedCommits(db, path);
  group = new GroupCommit({
    run: (work) => (disk === 'good' ? commits.run(work) : Promise.reject(new Error('the disk is full'))),
    sync: () => commits.sync(),
  });
  machines = new CachedMachines(db, group);
  close = async () => {
    await group.settle();
    await commits.close();
    await db.destroy();
  };
});

afterEach(async () => {
  await close();
  await rm(directory, { recursive: true });
});

const machine = (n: number, more: Partial<Machine> = {}): Machine => ({
  id: `m${n}`,
  name: `machine-${n}`,
  macs: [`52:54:00:00:00:0${n}`],
  admission: 'held',
  labels: {},
  firstSeenAt: '2026-11-22T12:00:00.000Z',
  lastSeenAt: '2026-11-22T12:00:00.000Z',
  ...more,
});

/** What another process would find in the database now. */
const stored = async (): Promise<Machine[]> => {
  const rows = await db.selectFrom('machines').select('record').orderBy('id').execute();
  return rows.map(({ record }) => JSON.parse(record) as Machine);
};

describe('machines that are only seen', () => {
  it('are known at once and written once, however often they are seen', async () => {
    for (let n = 1; n <= 9; n++) await machines.add(machine(n), 'soon');
    for (let turn = 0; turn < 5; turn++)
      await machines.update('m1', (each) => ({ ...each, lastSeenAt: `turn ${turn}` }), 'soon');
    expect(await machines.byMac('52:54:00:00:00:09')).toMatchObject({ id: 'm9' });
    expect(await stored()).toEqual([]);
    await group.settle();
    expect((await stored()).map(({ lastSeenAt }) => lastSeenAt)[0]).toBe('turn 4');
    expect(await stored()).toHaveLength(9);
  });

  it('are not forgotten while the disk is full; the next sighting says so, and later all is written', async () => {
    disk = 'full';
    await machines.add(machine(1), 'soon');
    await group.settle();
    await expect(machines.add(machine(2), 'soon')).rejects.toThrow('the disk is full');
    expect(await machines.get('m2')).toBeUndefined();
    expect(await machines.get('m1')).toMatchObject({ name: 'machine-1' });
    disk = 'good';
    await machines.add(machine(3), 'soon');
    await group.settle();
    expect((await stored()).map(({ id }) => id)).toEqual(['m1', 'm3']);
  });
});

describe('a decision', () => {
  it('that cannot be written leaves the record as it was', async () => {
    await machines.add(machine(1));
    disk = 'full';
    await expect(machines.update('m1', (each) => ({ ...each, admission: 'accepted' }))).rejects.toThrow();
    await expect(machines.remove('m1')).rejects.toThrow();
    expect(await machines.get('m1')).toMatchObject({ admission: 'held' });
    expect(await machines.byMac('52:54:00:00:00:01')).toMatchObject({ id: 'm1' });
  });

  it('takes its turn among sightings of the same machine: none is lost', async () => {
    await machines.add(machine(1));
    const changes = Array.from({ length: 20 }, (_, n) =>
      machines.update(
        'm1',
        (each) => ({ ...each, labels: { ...each.labels, [`k${n}`]: 'v' } }),
        n % 2 === 0 ? 'soon' : 'durable',
      ),
    );
    await Promise.all(changes);
    await group.settle();
    expect(Object.keys((await stored())[0]?.labels ?? {})).toHaveLength(20);
  });
});

describe('names, addresses and UUIDs', () => {
  it('belong to whoever has them now', async () => {
    await machines.add(machine(1, { uuid: 'u' }));
    await machines.add(machine(2, { uuid: 'u' }));
    expect((await machines.byUuid('u')).map(({ id }) => id)).toEqual(['m1', 'm2']);
    await expect(machines.update('m2', (each) => ({ ...each, macs: machine(1).macs }))).rejects.toMatchObject(
      {
        code: 'CONFLICT',
      },
    );
    await expect(machines.update('m2', (each) => ({ ...each, name: 'machine-1' }))).rejects.toMatchObject({
      code: 'CONFLICT',
    });
    await machines.update('m1', ({ uuid: _gone, ...each }) => ({ ...each, name: 'other', macs: [] }));
    expect(await machines.byMac('52:54:00:00:00:01')).toBeUndefined();
    expect(await machines.byName('machine-1')).toBeUndefined();
    expect((await machines.byUuid('u')).map(({ id }) => id)).toEqual(['m2']);
    await machines.update('m2', (each) => ({ ...each, macs: machine(1).macs }));
    expect(await machines.byMac('52:54:00:00:00:01')).toMatchObject({ id: 'm2' });
  });
});

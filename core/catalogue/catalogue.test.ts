import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Machine } from '../domain/machine.ts';
import { type Catalogue, openCatalogue } from './catalogue.ts';
import { SCHEMA_VERSION } from './migrations.ts';
import { NONCE_LIFETIME_MS } from './nonces.ts';
import { openStateDirectory } from './state-directory.ts';

let directory: string;
let catalogue: Catalogue;
const NOW = Date.parse('2026-11-22T12:00:00Z');

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'overdub-catalogue-'));
  catalogue = await openCatalogue(directory);
});
afterEach(async () => {
  await catalogue.close();
  await rm(directory, { recursive: true, force: true });
});

function machine(id: string, mac: string, over: Partial<Machine> = {}): Machine {
  const at = new Date(NOW).toISOString();
  return {
    id,
    name: `machine-${id}`,
    macs: [mac],
    admission: 'held',
    labels: {},
    firstSeenAt: at,
    lastSeenAt: at,
    ...over,
  };
}

describe('machines', () => {
  it('are found by id, name, MAC and UUID', async () => {
    const added = await catalogue.machines.add(machine('1', '52:54:00:00:00:01', { uuid: 'u' }));
    expect(await catalogue.machines.get('1')).toEqual(added);
    expect(await catalogue.machines.byName('machine-1')).toEqual(added);
    expect(await catalogue.machines.byMac('52:54:00:00:00:01')).toEqual(added);
    expect(await catalogue.machines.byUuid('u')).toEqual([added]);
    await catalogue.machines.remove('1');
    expect(await catalogue.machines.byMac('52:54:00:00:00:01')).toBeUndefined();
  });

  it('never share a MAC or a name; what fails changes nothing', async () => {
    await catalogue.machines.add(machine('1', '52:54:00:00:00:01'));
    await expect(catalogue.machines.add(machine('2', '52:54:00:00:00:01'))).rejects.toMatchObject({
      code: 'CONFLICT',
    });
    await catalogue.machines.add(machine('3', '52:54:00:00:00:03'));
    const renaming = catalogue.machines.update('3', (record) => ({ ...record, name: 'machine-1' }));
    await expect(renaming).rejects.toMatchObject({ code: 'CONFLICT' });
    expect((await catalogue.machines.byMac('52:54:00:00:00:03'))?.name).toBe('machine-3');
  });

  it('change one after the other: no update is lost', async () => {
    await catalogue.machines.add(machine('1', '52:54:00:00:00:01'));
    const label = (number: number) =>
      catalogue.machines.update('1', (record) => ({
        ...record,
        labels: { ...record.labels, [`l${number}`]: 'x' },
      }));
    await Promise.all(Array.from({ length: 20 }, (_, number) => label(number)));
    expect(Object.keys((await catalogue.machines.get('1'))?.labels ?? {})).toHaveLength(20);
  });

  it('stay as they are when the change throws', async () => {
    const before = await catalogue.machines.add(machine('1', '52:54:00:00:00:01'));
    const failing = catalogue.machines.update('1', () => {
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await catalogue.machines.get('1')).toEqual(before);
    await expect(catalogue.machines.update('none', (record) => record)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });
});

describe('nonces', () => {
  it('are exchanged by one boot only', async () => {
    const nonce = await catalogue.nonces.mint('m', NOW);
    expect(nonce).toMatch(/^[0-9a-f]{64}$/);
    expect(await catalogue.nonces.exchange(nonce, 'boot-1', NOW)).toBe('m');
    expect(await catalogue.nonces.exchange(nonce, 'boot-2', NOW)).toBeUndefined();
    expect(await catalogue.nonces.exchange('0'.repeat(64), 'boot-1', NOW)).toBeUndefined();
  });

  it('are worth nothing after half an hour', async () => {
    const nonce = await catalogue.nonces.mint('m', NOW);
    expect(await catalogue.nonces.exchange(nonce, 'b', NOW + NONCE_LIFETIME_MS + 1)).toBeUndefined();
  });

  it('of an earlier boot end with the next one', async () => {
    const first = await catalogue.nonces.mint('m', NOW);
    await catalogue.nonces.exchange(first, 'boot-1', NOW);
    const second = await catalogue.nonces.mint('m', NOW);
    await catalogue.nonces.exchange(second, 'boot-2', NOW);
    expect(await catalogue.nonces.exchange(first, 'boot-1', NOW)).toBeUndefined();
    expect(await catalogue.nonces.exchange(second, 'boot-2', NOW)).toBe('m');
  });
});

describe('secrets', () => {
  it('never lie in the files in clear', async () => {
    const nonce = await catalogue.nonces.mint('m', NOW);
    const token = { id: 't', name: 'n', role: 'admin', createdAt: '' } as const;
    await catalogue.tokens.add(token, 'ovt_very-secret');
    await catalogue.credentials.add('ova_very-secret', { server: 's', generation: 1, operation: 'o' });
    expect(await catalogue.tokens.bySecret('ovt_very-secret')).toEqual(token);
    await catalogue.close();
    const bytes = (await readFile(join(directory, 'catalogue.db'))).toString('latin1');
    for (const secret of [nonce, 'ovt_very-secret', 'ova_very-secret']) expect(bytes).not.toContain(secret);
    catalogue = await openCatalogue(directory);
  });
});

describe('operations', () => {
  it('are listed newest first, by server and state', async () => {
    const operation = {
      kind: 'prune',
      requestedBy: '',
      parameters: {},
      memory: {},
      steps: [],
      createdAt: '',
    } as const;
    await catalogue.operations.save({ ...operation, id: 'op-1', server: 'a', state: 'done' });
    await catalogue.operations.save({ ...operation, id: 'op-2', server: 'b', state: 'queued' });
    await catalogue.operations.save({ ...operation, id: 'op-3', server: 'a', state: 'waiting' });
    const ids = async (filter?: Parameters<Catalogue['operations']['list']>[0]) =>
      (await catalogue.operations.list(filter)).map(({ id }) => id);
    expect(await ids()).toEqual(['op-3', 'op-2', 'op-1']);
    expect(await ids({ server: 'a' })).toEqual(['op-3', 'op-1']);
    expect(await ids({ state: 'queued' })).toEqual(['op-2']);
    expect(await ids({ limit: 1 })).toEqual(['op-3']);
    expect((await catalogue.operations.listOpen()).map(({ id }) => id)).toEqual(['op-2', 'op-3']);
  });
});

describe('the file', () => {
  it('keeps records over a restart', async () => {
    await catalogue.machines.add(machine('1', '52:54:00:00:00:01'));
    await catalogue.settings.set('a', 'b');
    await catalogue.close();
    catalogue = await openCatalogue(directory);
    expect((await catalogue.machines.list()).map(({ id }) => id)).toEqual(['1']);
    expect(await catalogue.settings.get('a')).toBe('b');
  });

  it('of a newer Overdub is refused and left as it is', async () => {
    await catalogue.close();
    const raw = new DatabaseSync(join(directory, 'catalogue.db'));
    raw.exec(`UPDATE schema_version SET version = ${SCHEMA_VERSION + 1}`);
    raw.close();
    const opening = openCatalogue(directory);
    await expect(opening).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(opening).rejects.toThrow(/newer/);
    const again = new DatabaseSync(join(directory, 'catalogue.db'));
    again.exec(`UPDATE schema_version SET version = ${SCHEMA_VERSION}`);
    again.close();
    catalogue = await openCatalogue(directory);
  });

  it('that is no database is refused with what to do', async () => {
    const other = join(directory, 'other');
    await openStateDirectory(other).then((state) => state.release());
    await writeFile(join(other, 'catalogue.db'), 'this is no database, whatever it is called'.repeat(100));
    await expect(openCatalogue(other)).rejects.toMatchObject({
      code: 'STATE_UNWRITABLE',
      remedy: expect.stringContaining('--state'),
    });
  });
});

describe('the state directory', () => {
  it('is for its owner alone, and keeps its key', async () => {
    const path = join(directory, 'state');
    const first = await openStateDirectory(path);
    first.release();
    const second = await openStateDirectory(path);
    second.release();
    expect(second.key).toEqual(first.key);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect((await stat(join(path, 'state.key'))).mode & 0o777).toBe(0o600);
  });

  it('is refused when its key is damaged, and its lock is given back', async () => {
    const path = join(directory, 'state');
    (await openStateDirectory(path)).release();
    await chmod(join(path, 'state.key'), 0o600);
    await writeFile(join(path, 'state.key'), 'short');
    await expect(openStateDirectory(path)).rejects.toMatchObject({ code: 'STATE_UNWRITABLE' });
    await expect(openStateDirectory(path)).rejects.toThrow(/64 hex digits/);
  });
});

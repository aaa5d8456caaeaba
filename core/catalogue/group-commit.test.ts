import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GroupCommit } from './group-commit.ts';
import { migrate } from './migrations.ts';
import { openNodeSqlite, type RelaxedCommits, relaxedCommits } from './node-sqlite.ts';
import type { CatalogueDatabase, CatalogueSchema } from './schema.ts';

let directory: string;
let db: CatalogueDatabase;
let real: RelaxedCommits<CatalogueSchema>;
let transactions = 0;
let syncs = 0;
let group: GroupCommit;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'overdub-group-'));
  const path = join(directory, 'catalogue.db');
  db = openNodeSqlite<CatalogueSchema>(path);
  await migrate(db);
  real = relaxedCommits(db, path);
  [transactions, syncs] = [0, 0];
  group = new GroupCommit({
    run: (work) => {
      transactions += 1;
      return real.run(work);
    },
    sync: () => {
      syncs += 1;
      return real.sync();
    },
  });
});

afterEach(async () => {
  await group.settle();
  await real.close();
  await db.destroy();
  await rm(directory, { recursive: true });
});

const put = (name: string) => async (transaction: CatalogueDatabase) => {
  await transaction.insertInto('settings').values({ name, value: 'v' }).execute();
  return name;
};
const quietly = (name: string) => async (transaction: CatalogueDatabase) =>
  void (await put(name)(transaction));
const names = async () =>
  (await db.selectFrom('settings').select('name').orderBy('name').execute()).map(({ name }) => name);

describe('a group commit', () => {
  it('takes a hundred at once into one transaction and one sync, and gives each its own result', async () => {
    const wanted = Array.from({ length: 100 }, (_, at) => `s${at}`);
    expect(await Promise.all(wanted.map((name) => group.now(put(name))))).toEqual(wanted);
    expect(await names()).toHaveLength(100);
    expect([transactions, syncs]).toEqual([1, 1]);
  });

  it('lets one that fails fail alone', async () => {
    const fail = async () => Promise.reject(new Error('not me'));
    const ends = await Promise.allSettled([group.now(put('a')), group.now(fail), group.now(put('b'))]);
    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(await names()).toEqual(['a', 'b']);
  });

  it('does not sync for what nobody waits for, and takes it along with what somebody does', async () => {
    await group.soon(1, quietly('a'));
    expect([transactions, syncs]).toEqual([1, 0]);
    const later = group.soon(60_000, quietly('b'));
    await group.now(put('c'));
    await later;
    expect([transactions, syncs]).toEqual([2, 1]);
  });

  it('rejects where the disk cannot be synced', async () => {
    const broken = new GroupCommit({
      run: real.run,
      sync: async () => Promise.reject(new Error('EIO')),
    });
    await expect(broken.now(put('a'))).rejects.toThrow('EIO');
  });

  it('settles what still waits for company', async () => {
    group.soon(60_000, quietly('a'));
    await group.settle();
    expect(await names()).toEqual(['a']);
  });
});

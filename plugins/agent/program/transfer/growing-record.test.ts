import { statSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Entry, FileStamp } from '@overdub/core/agent';
import { collect } from '@overdub/core/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GrowingRecord } from './growing-record.ts';
import { readHeader, readRecord } from './record.ts';

const SECOND_NS = 1_000_000_000n;
const BEGAN_NS = 1_800_000_000n * SECOND_NS;
const HEADER = { server: 'web-1', manifest: { root: 'f'.repeat(64), entries: 4, bytes: 3 } };

let dir: string;
let path: string;
let nowNs: bigint;
const said: string[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-growing-'));
  path = join(dir, 'work', 'restored');
  nowNs = BEGAN_NS;
  said.length = 0;
});
afterEach(() => rm(dir, { recursive: true, force: true }));

function file(name: string): Entry {
  const digest = '0f'.repeat(32);
  const content = { digest, bytes: 1, chunks: [{ digest, bytes: 1 }] };
  const times = { mtimeNs: '1700000000000000001' };
  return { path: name, type: 'file', mode: 0o644, uid: 0, gid: 0, ...times, content };
}

const directory = (name: string): Entry => ({
  path: name,
  type: 'directory',
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtimeNs: '0',
});

/** Of a file that is left now. */
function stamp(inode: string, mtimeNs = '1700000000000000001'): FileStamp {
  return { size: 1, mtimeNs, ctimeNs: String(nowNs + 1n), inode, device: '1' };
}

const create = () =>
  GrowingRecord.create(path, {
    header: HEADER,
    nowNs: () => nowNs,
    onLost: (why) => said.push(String(why)),
  });

/** Has this image passed on to who leaves its files. */
async function passed(record: GrowingRecord, entries: readonly Entry[]): Promise<void> {
  const all = (async function* () {
    yield* entries;
  })();
  expect(await collect(record.of(all))).toEqual(entries);
}

describe('a record that grows with a restore', () => {
  it('has each entry of the image, and the stamps of the files that were left', async () => {
    const record = await create();
    await passed(record, [directory(''), file('a'), file('a b'), directory('c'), file('c/d'), file('e')]);
    record.onFile('a', stamp('1'));
    record.onFile('c/d', stamp('2'));
    nowNs += SECOND_NS;
    await record.commit();
    expect(await readHeader(path)).toMatchObject(HEADER);
    const lines = await collect(readRecord(path));
    expect(lines.map(({ entry, stamp: left }) => [entry.path, left?.inode])).toEqual([
      ['', undefined],
      ['a', '1'],
      ['a b', undefined],
      ['c', undefined],
      ['c/d', '2'],
      ['e', undefined],
    ]);
  });

  it('trusts no time of a file that another could have written in the same tick', async () => {
    const record = await create();
    await passed(record, [file('a'), file('b'), file('c')]);
    record.onFile('a', stamp('1'));
    nowNs += SECOND_NS;
    record.onFile('b', stamp('2'));
    record.onFile('c', stamp('3', String(nowNs + 60n * SECOND_NS)));
    nowNs += 50_000_000n;
    await record.commit();
    const lines = await collect(readRecord(path));
    expect(lines.map((line) => line.stamp?.inode)).toEqual(['1', undefined, undefined]);
  });

  it('holds thousands of files back no longer than it has to: also where the time of one lies ahead', async () => {
    const record = await create();
    const names = Array.from({ length: 40_000 }, (_, nth) => String(nth).padStart(6, '0'));
    await passed(record, names.map(file));
    for (const [nth, name] of names.entries()) {
      const ahead = String(BEGAN_NS + 900n * SECOND_NS);
      record.onFile(name, nth === 5000 ? stamp('5000', ahead) : stamp(String(nth)));
      nowNs += 200_000n;
    }
    nowNs += SECOND_NS;
    await record.commit();
    const lines = await collect(readRecord(path));
    expect(lines.map(({ entry }) => entry.path)).toEqual(names);
    for (const [nth, line] of lines.entries())
      expect(line.stamp?.inode).toBe(nth === 5000 ? undefined : String(nth));
  });

  it('does not hold all of them back where the clock was set back meanwhile', async () => {
    const record = await create();
    const names = Array.from({ length: 60_000 }, (_, nth) => String(nth).padStart(6, '0'));
    await passed(record, names.map(file));
    for (const [nth, name] of names.entries()) {
      if (nth === 1000) nowNs -= 3600n * SECOND_NS;
      record.onFile(name, stamp(String(nth)));
    }
    expect(statSync(`${path}.part`).size).toBeGreaterThan(50_000);
    nowNs += SECOND_NS;
    await record.commit();
    const lines = await collect(readRecord(path));
    expect(lines.map(({ entry }) => entry.path)).toEqual(names);
    expect(lines[2000]?.stamp).toBeUndefined();
    expect(lines.at(-1)?.stamp?.inode).toBe('59999');
  });

  it('does not keep a whole image of which no file is told of', async () => {
    const record = await create();
    const names = Array.from({ length: 90_000 }, (_, nth) => String(nth).padStart(6, '0'));
    await passed(record, names.map(directory));
    expect(statSync(`${path}.part`).size).toBeGreaterThan(10_000);
    record.onFile('000001', stamp('late'));
    record.onFile('089999', stamp('last'));
    nowNs += SECOND_NS;
    await record.commit();
    const lines = await collect(readRecord(path));
    expect(lines.map(({ entry }) => entry.path)).toEqual(names);
    expect(lines.flatMap((line) => line.stamp?.inode ?? [])).toEqual(['last']);
  });

  it('takes no notice of what is not in the image, or was told before', async () => {
    const record = await create();
    await passed(record, [file('b'), file('d')]);
    for (const name of ['a', 'b', 'b', 'c', 'd', 'e']) record.onFile(name, stamp(name));
    nowNs += SECOND_NS;
    await record.commit();
    const lines = await collect(readRecord(path));
    expect(lines.map(({ entry, stamp: left }) => [entry.path, left?.inode])).toEqual([
      ['b', 'b'],
      ['d', 'd'],
    ]);
  });

  it('is not there when it is abandoned', async () => {
    const record = await create();
    await passed(record, [file('a')]);
    record.abandon();
    expect(await readdir(join(dir, 'work'))).toEqual([]);
  });
});

describe('a record that grows with a restore, where there is no room for it', () => {
  it.each([1, 20_000])(
    'is given up, with nothing of it left, and the work goes on: %i files',
    async (files) => {
      await mkdir(join(dir, 'work'));
      await symlink('/dev/full', `${path}.part`);
      const record = await create();
      const names = Array.from({ length: files }, (_, nth) => String(nth).padStart(6, '0'));
      await passed(record, names.map(file));
      for (const name of names) {
        record.onFile(name, stamp(name));
        nowNs += SECOND_NS;
      }
      if (files > 1) expect(await readdir(join(dir, 'work'))).toEqual([]);
      await record.commit();
      expect(said).toEqual([expect.stringContaining('ENOSPC')]);
      expect(await readdir(join(dir, 'work'))).toEqual([]);
    },
  );

  it('is not begun where not even a name can be had', async () => {
    await mkdir(`${path}.part`, { recursive: true });
    const record = await create();
    await passed(record, [file('a')]);
    record.onFile('a', stamp('1'));
    await record.commit();
    expect(said).toHaveLength(1);
  });

  it('is given up also where it cannot be thrown away', async () => {
    const record = await create();
    await passed(record, [file('a')]);
    // As little can be removed there as on a disk that fails.
    await rename(join(dir, 'work'), join(dir, 'gone'));
    await writeFile(join(dir, 'work'), '');
    await record.commit();
    expect(said).toEqual([expect.stringContaining('ENOTDIR')]);
  });
});

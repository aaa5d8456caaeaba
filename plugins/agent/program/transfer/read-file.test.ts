import { readdirSync } from 'node:fs';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf, type FileStamp, type TreeReader } from '@overdub/core/agent';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openTree } from '../../../imaging-tree/tree/open.ts';
import { readContent } from './read-file.ts';

let root: string;
let tree: TreeReader;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'overdub-read-'));
  tree = openTree(root);
});
afterEach(async () => {
  tree.close();
  await rm(root, { recursive: true });
});

const HOUR_NS = 3_600_000_000_000n;
const reading = (by: TreeReader = tree) => ({
  tree: by,
  signatures: undefined,
  signal: new AbortController().signal,
  nowNs: () => BigInt(Date.now()) * 1_000_000n + HOUR_NS,
});
const handles = () => readdirSync('/proc/self/fd').length;

async function stampOf(path: string): Promise<FileStamp> {
  const file = await tree.open(path);
  try {
    return await file.stamp();
  } finally {
    await file.close();
  }
}

it('reads a small file at once, as what it is and as what is known of it', async () => {
  await writeFile(join(root, 'small'), 'seven!!');
  await writeFile(join(root, 'empty'), '');
  const found = await stampOf('small');
  const before = handles();
  const read = readContent(reading(), { path: 'small', found });
  const digest = digestOf(Buffer.from('seven!!'));
  const content = { digest, bytes: 7, chunks: [{ digest, bytes: 7 }] };
  expect(read).toEqual({ content, stamp: found, settled: true, changing: false });
  const empty = readContent(reading(), { path: 'empty', found: await stampOf('empty') });
  expect(empty).toMatchObject({ content: { bytes: 0, chunks: [] } });
  // Cut otherwise once: it stays as it was cut.
  const known = { digest, bytes: 7, chunks: [{ digest: digestOf(Buffer.from('s')), bytes: 1 }] };
  expect(readContent(reading(), { path: 'small', found, known })).toMatchObject({ content: known });
  expect(handles()).toBe(before);
});

it('is patient with one that changed since it was found, and with a large one', async () => {
  await writeFile(join(root, 'small'), 'seven!!');
  const found = await stampOf('small');
  await appendFile(join(root, 'small'), '!');
  const read = readContent(reading(), { path: 'small', found });
  expect(read).toBeInstanceOf(Promise);
  expect(await read).toMatchObject({ content: { bytes: 8, digest: digestOf(Buffer.from('seven!!!')) } });
  await writeFile(join(root, 'large'), Buffer.alloc(300_000, 'x'));
  const large = readContent(reading(), { path: 'large', found: await stampOf('large') });
  expect(large).toBeInstanceOf(Promise);
  expect(await large).toMatchObject({ content: { bytes: 300_000 }, changing: false });
});

it('says of one that never holds still that it is changing', async () => {
  await writeFile(join(root, 'lively'), 'a');
  const found = await stampOf('lively');
  const lively: TreeReader = {
    ...tree,
    open: async (path) => {
      const file = await tree.open(path);
      const read = file.read.bind(file);
      file.read = async (...args) => {
        await appendFile(join(root, path), '!');
        return read(...args);
      };
      return file;
    },
  };
  const before = handles();
  expect(await readContent(reading(lively), { path: 'lively', found })).toMatchObject({ changing: true });
  expect(handles()).toBe(before);
});

it('leaves no handle behind when reading fails', async () => {
  await writeFile(join(root, 'bad'), 'abc');
  const found = await stampOf('bad');
  const failing: TreeReader = {
    ...tree,
    open: (path) => Object.assign(tree.open(path), { readNow: () => fail() }),
  };
  const fail = () => {
    throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
  };
  const before = handles();
  expect(() => readContent(reading(failing), { path: 'bad', found })).toThrow(/EIO/);
  expect(() => readContent(reading(), { path: 'gone', found })).toThrow(/ENOENT/);
  expect(handles()).toBe(before);
});

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '@overdub/core/agent';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { PageSums, pageBytesFor } from './page-sums.ts';

const PAGE = 4096;
const before = Buffer.from(Array.from({ length: 10 * PAGE + 100 }, (_, at) => (at * 7 + (at >> 8)) & 255));

let dir: string;
let sums: PageSums;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-page-sums-'));
  sums = new PageSums(join(dir, 'sums'));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

async function keep(bytes: Buffer, piece = 1000): Promise<string> {
  const summer = await sums.begin(PAGE);
  for (let at = 0; at < bytes.length; at += piece) await summer.update(bytes.subarray(at, at + piece));
  await summer.end();
  const digest = digestOf(bytes);
  await summer.keep(digest);
  return digest;
}

function edited(...pages: readonly number[]): Buffer {
  const bytes = Buffer.from(before);
  for (const page of pages) bytes.writeUInt8(bytes.readUInt8(page * PAGE + 5) ^ 1, page * PAGE + 5);
  return bytes;
}

it('tells which parts of a chunk are where they were', async () => {
  const [old, now] = [await keep(before), await keep(edited(3, 7), 3 * PAGE)];
  expect(sums.stayed(old, now, PAGE, 0, before.length)).toEqual([
    { from: 0, to: 3 * PAGE },
    { from: 4 * PAGE, to: 7 * PAGE },
    { from: 8 * PAGE, to: before.length },
  ]);
  expect(sums.stayed(old, now, PAGE, 2 * PAGE + 10, 2 * PAGE)).toEqual([
    { from: 0, to: PAGE - 10 },
    { from: 2 * PAGE - 10, to: 2 * PAGE },
  ]);
});

it('says nothing of what lies behind the end of either', async () => {
  const [old, now] = [await keep(before), await keep(before.subarray(0, 5 * PAGE + 50))];
  expect(sums.stayed(old, now, PAGE, 4 * PAGE, PAGE + 50)).toEqual([{ from: 0, to: PAGE }]);
  expect(sums.stayed(now, old, PAGE, 4 * PAGE, 3 * PAGE)).toEqual([{ from: 0, to: PAGE }]);
});

it('knows nothing without the sums of both, or of other pages', async () => {
  const old = await keep(before);
  expect(sums.stayed(old, digestOf(edited(1)), PAGE, 0, 10)).toBeUndefined();
  expect(sums.stayed(old, old, 2 * PAGE, 0, 10)).toBeUndefined();
});

it('keeps those of the contents that are there', async () => {
  const [old, now] = [await keep(before), await keep(edited(1))];
  const begun = await sums.begin(PAGE);
  await begun.end();
  await sums.prune(new Map([[now, 1n]]));
  expect(await readdir(join(dir, 'sums'))).toEqual([`${now}-${PAGE}`]);
  expect(sums.stayed(old, now, PAGE, 0, 10)).toBeUndefined();
});

it('is for files whose signature has longer blocks, in pages that stay few enough', () => {
  const GIB = 1024 ** 3;
  expect(pageBytesFor(GIB, 1024)).toBeUndefined();
  expect(pageBytesFor(4 * GIB, 4096)).toBeUndefined();
  expect(pageBytesFor(20 * GIB, 32_768)).toBe(4096);
  expect(pageBytesFor(1024 * GIB, 1024 * 1024)).toBe(65_536);
});

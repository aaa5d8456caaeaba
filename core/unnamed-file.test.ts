import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { UnnamedFile } from './unnamed-file.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-unnamed-'));
});
afterEach(() => rm(dir, { recursive: true }));

it('gives back what was put, short and long, to its end, and has no name meanwhile', async () => {
  const file = new UnnamedFile(join(dir, 'deep/down'));
  const bytes = Uint8Array.from({ length: 300_000 }, (_, at) => (at * 7) & 255);
  await file.put(bytes, 5);
  expect(await readdir(join(dir, 'deep/down'))).toEqual([]);
  expect(Buffer.compare(await file.read(new Uint8Array(bytes.length), 5), bytes)).toBe(0);
  expect(await file.read(new Uint8Array(10), 5 + 299_996)).toEqual(bytes.slice(299_996));
  expect([...(await file.read(new Uint8Array(6), 0))]).toEqual([0, 0, 0, 0, 0, 0]);
  const few = new Uint8Array(4);
  expect([file.readNow(few, 5), [...few]]).toEqual([4, [...bytes.slice(0, 4)]]);
  expect(file.readNow(few, 5 + 299_998)).toBe(2);
  expect(file.readNow(new Uint8Array(bytes.length), 5)).toBeUndefined();
  await file.close();
  expect(file.readNow(few, 5)).toBeUndefined();
  await file.close();
  await expect(file.put(Uint8Array.of(1), 0)).rejects.toThrow(/closed/);
  await expect(file.read(new Uint8Array(1), 0)).rejects.toThrow(/closed/);
});

it('says why it cannot be made, to whoever uses it', async () => {
  await writeFile(join(dir, 'taken'), '');
  const file = new UnnamedFile(join(dir, 'taken'));
  await expect(file.put(Uint8Array.of(1), 0)).rejects.toThrow(/EEXIST|ENOTDIR/);
  expect(file.readNow(new Uint8Array(1), 0)).toBeUndefined();
  await file.close();
});

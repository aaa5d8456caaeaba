import type { Artifact } from '@overdub/core/agent';
import { expect, test } from 'vitest';
import { SmallFiles } from './small-files.ts';

function artifact(content: string, etag: string, counts: { reads: number }): Artifact {
  return {
    bytes: content.length,
    contentType: 'application/octet-stream',
    etag,
    async *read() {
      counts.reads += 1;
      if (content === 'broken') throw new Error('the disk is gone');
      yield Buffer.from(content.slice(0, 2));
      yield Buffer.from(content.slice(2));
    },
  };
}

async function text(file: { read(): AsyncIterable<Uint8Array> }): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of file.read()) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

test('a file is read once for all who fetch it, and again when it has changed', async () => {
  const files = new SmallFiles();
  const counts = { reads: 0 };
  const old = artifact('loader', 'v1', counts);
  expect(await Promise.all([1, 2, 3].map(() => text(files.fileOf('l', old))))).toEqual(
    Array(3).fill('loader'),
  );
  expect(counts.reads).toBe(1);
  expect(await text(files.fileOf('l', artifact('newer', 'v2', counts)))).toBe('newer');
  expect(counts.reads).toBe(2);
});

test('whoever only asks for its size has nothing read', () => {
  const counts = { reads: 0 };
  expect(new SmallFiles().fileOf('l', artifact('loader', 'v1', counts)).bytes).toBe(6);
  expect(counts.reads).toBe(0);
});

test('a file that cannot be read fails for those who fetch it now, and is tried again', async () => {
  const files = new SmallFiles();
  const counts = { reads: 0 };
  for (let turn = 1; turn <= 2; turn++) {
    await expect(text(files.fileOf('l', artifact('broken', 'v1', counts)))).rejects.toThrow(
      'the disk is gone',
    );
    expect(counts.reads).toBe(turn);
  }
});

test('large files pass by, and small ones make room for one another', async () => {
  const files = new SmallFiles();
  const counts = { reads: 0 };
  const large = artifact('x'.repeat(9 << 20), 'v1', counts);
  await text(files.fileOf('large', large));
  await text(files.fileOf('large', large));
  expect(counts.reads).toBe(2);
  const middle = artifact('x'.repeat(7 << 20), 'v1', counts);
  for (const name of ['a', 'b', 'c', 'd', 'e', 'e', 'a']) await text(files.fileOf(name, middle));
  // Four of seven megabytes fit: `e` pushed `a` out.
  expect(counts.reads).toBe(2 + 6);
});

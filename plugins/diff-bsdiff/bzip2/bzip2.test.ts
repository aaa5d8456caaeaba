import { execFileSync } from 'node:child_process';
import { createRandom, damaged, databasePages, noise } from '@overdub/core/testing';
import { memoryReader } from '@overdub/lib-files';
import { describe, expect, it } from 'vitest';
import { compress } from './compress.ts';
import { Bzip2Reader } from './stream-reader.ts';

const repeated = (text: string, times: number): Uint8Array => Buffer.from(text.repeat(times));
const SAMPLES: readonly (readonly [string, Uint8Array])[] = [
  ['nothing', new Uint8Array(0)],
  ['one byte', Uint8Array.of(7)],
  ['runs of 3 to 6', repeated('aaabbbbcccccdddddd', 100)],
  ['runs of 255 to 260', Buffer.concat([255, 256, 257, 258, 259, 260].map((n, i) => Buffer.alloc(n, i)))],
  ['two bytes in turn', repeated('ab', 5000)],
  ['zeros of many blocks’ length', new Uint8Array(5_000_000)],
  ['noise of two blocks', noise(1_000_000, 3)],
  ['pages', databasePages(300_000, 4)],
  ['every byte', Uint8Array.from({ length: 256 }, (_, i) => i)],
];

function compressed(bytes: Uint8Array): Uint8Array {
  const work = compress(bytes);
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

async function expanded(stream: Uint8Array, bytes: number): Promise<Uint8Array> {
  const reader = new Bzip2Reader(memoryReader(stream), 0, stream.length);
  const out = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 10_007)
    await reader.fill(out.subarray(at, Math.min(bytes, at + 10_007)));
  await reader.end();
  return out;
}

const bzip2 = (input: Uint8Array, ...args: string[]): Uint8Array =>
  execFileSync('bzip2', args, { input, maxBuffer: 1 << 27, stdio: ['pipe', 'pipe', 'pipe'] });

describe.each(SAMPLES)('bzip2 of %s', (_title, bytes) => {
  it('is read by bzip2, and its own by us', async () => {
    const ours = compressed(bytes);
    expect(Buffer.compare(bzip2(ours, '-dc'), bytes)).toBe(0);
    expect(Buffer.compare(await expanded(ours, bytes.length), bytes)).toBe(0);
    for (const level of ['-1', '-9']) {
      const theirs = bzip2(bytes, '-c', level);
      expect(Buffer.compare(await expanded(theirs, bytes.length), bytes)).toBe(0);
      if (level === '-9') expect(ours.length).toBeLessThan(theirs.length * 1.02 + 40);
    }
  });
});

describe('a bzip2 stream', () => {
  const bytes = databasePages(40_000, 9);
  const stream = compressed(bytes);

  it('that was damaged or cut gives an error or the right bytes', async () => {
    const random = createRandom(3);
    for (let i = 0; i < 400; i++) {
      const bad = i % 4 === 0 ? stream.subarray(0, random() % stream.length) : damaged(stream, random);
      const made = await expanded(bad, bytes.length).catch((error: Error) => error.message);
      if (typeof made === 'string') expect(made).toMatch(/^(it|its|a code|no block|\d+ bytes) /);
      else expect(Buffer.compare(made, bytes)).toBe(0);
    }
  });

  it.each([
    [bytes.length - 1, /goes on/],
    [bytes.length + 1, /too early/],
  ])('read for %d bytes instead of 40,000 is refused', async (length, reason) => {
    await expect(expanded(stream, length)).rejects.toThrow(reason);
  });

  it('with something after it is refused', async () => {
    await expect(expanded(Buffer.concat([stream, stream]), bytes.length)).rejects.toThrow(/bytes follow/);
  });
});

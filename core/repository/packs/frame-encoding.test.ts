import { randomBytes } from 'node:crypto';
import { brotliCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { rows } from '../fixture.ts';
import { decompress, pack } from './frame-encoding.ts';

const MiB = 1024 * 1024;

describe('a frame', () => {
  it.each([
    ['deltas at leisure', rows(4000, 'a'), 'idle', true, 'brotli'],
    ['deltas in a hurry', rows(4000, 'a'), 'store', true, 'zstd'],
    ['whole chunks at leisure', rows(4000, 'a'), 'idle', false, 'zstd'],
    ['more than takes little memory', rows(50_000, 'a'), 'idle', true, 'zstd'],
    ['noise', randomBytes(200_000), 'idle', true, 'raw'],
    ['mostly noise', Buffer.concat([randomBytes(95_000), Buffer.alloc(5_000)]), 'idle', true, 'zstd'],
    ['a byte', Buffer.from('a'), 'idle', true, 'raw'],
  ] as const)('of %s', async (_, raw, effort, isDeltas, encoding) => {
    const packed = await pack(raw, effort, isDeltas);
    expect(packed.encoding).toBe(encoding);
    const back = await decompress(packed.stored, { encoding, rawBytes: raw.length });
    expect(raw.equals(back)).toBe(true);
  });

  it('in Brotli is smaller than in Zstandard', async () => {
    const raw = rows(8000, 'b');
    const [brotli, zstd] = await Promise.all([pack(raw, 'idle', true), pack(raw, 'idle')]);
    expect([brotli.encoding, zstd.encoding]).toEqual(['brotli', 'zstd']);
    expect(brotli.stored.length).toBeLessThan(zstd.stored.length * 0.97);
  });
});

describe.each(['zstd', 'brotli'] as const)('a damaged frame in %s', (encoding) => {
  const raw = rows(2000, 'c');
  const stored = async () => (await pack(raw, 'idle', encoding === 'brotli')).stored;
  const rawBytes = raw.length;

  it('that is cut off, or makes more or fewer bytes than were promised, is refused', async () => {
    const bytes = await stored();
    for (const to of [0, 1, 100, bytes.length - 1])
      await expect(decompress(bytes.subarray(0, to), { encoding, rawBytes })).rejects.toThrow();
    for (const other of [rawBytes - 1, rawBytes + 1, 0])
      await expect(decompress(bytes, { encoding, rawBytes: other })).rejects.toThrow();
  });

  it('with any bit flipped is refused, or makes as many bytes', async () => {
    const bytes = await stored();
    for (let at = 0; at < 200; at++) {
      const bent = Uint8Array.from(bytes);
      const nth = (at * 7919) % bent.length;
      bent[nth] = (bent[nth] as number) ^ (1 << (at % 8));
      const made = await decompress(bent, { encoding, rawBytes }).catch((error: unknown) => error);
      if (!(made instanceof Error)) expect((made as Uint8Array).length).toBe(rawBytes);
    }
  });
});

it('a stream in Brotli that makes 256 MiB is refused where a kilobyte was promised', async () => {
  const bomb = brotliCompressSync(Buffer.alloc(256 * MiB));
  const before = process.memoryUsage().rss;
  await expect(decompress(bomb, { encoding: 'brotli', rawBytes: 1024 })).rejects.toThrow();
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * MiB);
});

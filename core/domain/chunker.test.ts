import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collect } from '../testing/collect.ts';
import { CHUNK_LIMITS, CutScanner, chunkStream } from './chunker.ts';
import { ContentHasher, contentRefOf, digestOf, EMPTY_DIGEST } from './content-ref.ts';
import type { ContentRef } from './manifest.ts';

/** Deterministic noise: AES would do, a chain of hashes is simpler. */
function noise(bytes: number, seed = 1): Buffer {
  const out = Buffer.alloc(bytes);
  for (let at = 0, block = createHash('sha512').update(`${seed}`).digest(); at < bytes; at += 64) {
    block = createHash('sha512').update(block).digest();
    block.copy(out, at);
  }
  return out;
}

function cutsOf(bytes: Uint8Array, pieces: readonly number[]): number[] {
  const scanner = new CutScanner();
  const cuts: number[] = [];
  let turn = 0;
  for (let start = 0; start < bytes.length; ) {
    const length = Math.max(1, pieces[turn++ % pieces.length] ?? 1);
    const piece = bytes.subarray(start, start + length);
    for (let from = 0; from < piece.length; ) {
      const cut = scanner.scan(piece, from);
      if (cut === -1) break;
      cuts.push(start + cut);
      from = cut;
    }
    start += piece.length;
  }
  return cuts;
}

const sample = noise(12 << 20);
const wholeCuts = cutsOf(sample, [sample.length]);

describe('CutScanner', () => {
  it('cuts at the same places however the stream is sliced', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 700_000 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(lengths, (pieces) => {
        expect(cutsOf(sample, pieces)).toEqual(wholeCuts);
      }),
      { numRuns: 25 },
    );
  });

  it('keeps chunks between the least and the largest length, around the average', () => {
    const ends = [...wholeCuts, sample.length];
    const lengths = ends.map((end, at) => end - (ends[at - 1] ?? 0)).slice(0, -1);
    expect(Math.min(...lengths)).toBeGreaterThanOrEqual(CHUNK_LIMITS.min);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(CHUNK_LIMITS.max);
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    expect(mean).toBeGreaterThan(CHUNK_LIMITS.average / 2);
    expect(mean).toBeLessThan(CHUNK_LIMITS.average * 2);
  });

  it('cuts content that never matches at the largest length', () => {
    expect(cutsOf(Buffer.alloc(20 << 20, 0xaa), [1 << 20])).toEqual([CHUNK_LIMITS.max, 2 * CHUNK_LIMITS.max]);
  });

  it('finds its boundaries again behind an insertion', () => {
    const shifted = cutsOf(Buffer.concat([noise(1000, 7), sample]), [65_536]);
    const same = shifted.filter((cut) => wholeCuts.includes(cut - 1000));
    expect(same.length).toBeGreaterThanOrEqual(wholeCuts.length - 2);
  });
});

describe('chunkStream', () => {
  it('yields all bytes, one chunk for small contents, none for an empty one', async () => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of chunkStream([sample.subarray(0, 5_000_000), sample.subarray(5_000_000)])) {
      chunks.push(chunk);
    }
    expect(Buffer.concat(chunks).equals(sample)).toBe(true);
    expect(await collect(chunkStream([noise(CHUNK_LIMITS.min)]))).toHaveLength(1);
    expect(await collect(chunkStream([]))).toEqual([]);
  });

  it('owns what it yields', async () => {
    const source = Buffer.from('reused by its owner');
    const [chunk] = await collect(chunkStream([source]));
    source.fill(0);
    expect(Buffer.from(chunk as Uint8Array).toString()).toBe('reused by its owner');
  });
});

describe('contentRefOf', () => {
  it('agrees with the chunker and with SHA-256 of the whole', async () => {
    const ref = await contentRefOf([sample.subarray(0, 777), sample.subarray(777)]);
    const chunks = await collect(chunkStream([sample]));
    expect(ref.digest).toBe(digestOf(sample));
    expect(ref.bytes).toBe(sample.length);
    expect(ref.chunks).toEqual(chunks.map((chunk) => ({ digest: digestOf(chunk), bytes: chunk.length })));
  });

  it('names a one-chunk content by its chunk, and an empty one by no chunk', async () => {
    const small = await contentRefOf([Buffer.from('over'), Buffer.from('dub')]);
    expect(small).toEqual({
      digest: digestOf(Buffer.from('overdub')),
      bytes: 7,
      chunks: [{ digest: small.digest, bytes: 7 }],
    });
    expect(new ContentHasher().finish()).toEqual({ digest: EMPTY_DIGEST, bytes: 0, chunks: [] });
  });
});

describe('a content that was edited in place', () => {
  const before = contentOf(sample);

  it('keeps its cuts, whatever the edit did to them', () => {
    const edited = Buffer.from(sample);
    for (const cut of wholeCuts) noise(64, cut).copy(edited, cut - 40);
    const cuts = cutsIn(contentOf(edited, before, () => true));
    expect(cuts).toEqual(wholeCuts);
    expect(cutsIn(contentOf(edited))).not.toEqual(wholeCuts);
  });

  it('has the cuts of its content where nothing is in place, and its own again where it is', () => {
    const middle = wholeCuts[Math.floor(wholeCuts.length / 2)] as number;
    const half = Buffer.concat([noise(middle, 9), sample.subarray(middle)]);
    const cuts = cutsIn(contentOf(half, before, (at) => at >= middle));
    expect(cuts.slice(-3)).toEqual(wholeCuts.slice(-3));
    expect(cutsIn(contentOf(half, before, () => false))).toEqual(cutsOf(half, [half.length]));
  });

  it('is not cut at its old end when it has grown', () => {
    const grown = Buffer.concat([sample, noise(3 << 20, 5)]);
    const cuts = cutsIn(contentOf(grown, before, (at) => at < sample.length));
    expect(cuts.slice(0, wholeCuts.length)).toEqual(wholeCuts);
    expect(cuts).not.toContain(sample.length);
  });

  it('keeps the bounds of a chunk, whatever it is told', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 12 << 20 }), { maxLength: 12 });
    fc.assert(
      fc.property(sizes, fc.array(fc.boolean(), { minLength: 1 }), (lengths, places) => {
        const told = { ...before, chunks: lengths.map((bytes) => ({ digest: EMPTY_DIGEST, bytes })) };
        const content = contentOf(sample, told, (at) => places[(at >> 16) % places.length] === true);
        expect(content.bytes).toBe(sample.length);
        expect(content.digest).toBe(before.digest);
        let at = 0;
        for (const [nth, { digest, bytes }] of content.chunks.entries()) {
          expect(bytes).toBeLessThanOrEqual(CHUNK_LIMITS.max);
          if (nth < content.chunks.length - 1) expect(bytes).toBeGreaterThanOrEqual(CHUNK_LIMITS.min);
          expect(digest).toBe(digestOf(sample.subarray(at, at + bytes)));
          at += bytes;
        }
        expect(at).toBe(sample.length);
      }),
      { numRuns: 20 },
    );
  });
});

function contentOf(bytes: Buffer, before?: ContentRef, isInPlace: (at: number) => boolean = () => false) {
  const hasher = new ContentHasher(before);
  const step = 65_536;
  for (let at = 0; at < bytes.length; at += step) hasher.update(bytes.subarray(at, at + step), isInPlace(at));
  return hasher.finish();
}

/** Where its chunks end, but for the last. */
function cutsIn({ chunks }: ContentRef): number[] {
  let end = 0;
  return chunks.slice(0, -1).map(({ bytes }) => (end += bytes));
}

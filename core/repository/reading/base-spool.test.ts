import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RandomReader } from '../../contracts/delta-codec.ts';
import { noise } from '../fixture.ts';
import { BaseSpool, type LendBase, type PlacedBase } from './base-spool.ts';

const LENGTHS = [100_000, 300, 200_000];
const contents = LENGTHS.map((length, at) => noise(length, `base ${at}`));
const space = Buffer.concat(contents);
const bases: readonly PlacedBase[] = LENGTHS.map((bytes, at) => ({
  digest: String(at),
  at: LENGTHS.slice(0, at).reduce((sum, length) => sum + length, 0),
  bytes,
}));

let dir: string;
let spool: BaseSpool;
let made: string[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-spool-'));
  spool = new BaseSpool(dir);
  made = [];
});
afterEach(async () => {
  await spool.close();
  await rm(dir, { recursive: true, force: true });
});

const lend: LendBase = async (digest, use) => {
  made.push(digest);
  await use(contents[Number(digest)] as Buffer);
};

/** As a patcher reads: what is at hand from there. */
async function copied(reader: RandomReader, offset: number, length: number): Promise<Buffer> {
  return Buffer.from(reader.atHand?.(offset, length) ?? (await reader.read(offset, length)));
}

describe('bases laid out', () => {
  it('read the same whatever is read, and whatever was read before', async () => {
    const near = fc.integer({ min: -200, max: 6000 }).map((gap) => ({ gap }));
    const far = fc.integer({ min: 0, max: space.length - 1 }).map((offset) => ({ offset }));
    const reads = fc.array(fc.tuple(fc.oneof(near, far), fc.integer({ min: 1, max: 90_000 })), {
      minLength: 1,
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(reads, async (list) => {
        await spool.with(bases, lend, async (reader) => {
          let end = 0;
          for (const [to, length] of list) {
            const wanted = 'offset' in to ? to.offset : end + to.gap;
            const offset = Math.max(0, Math.min(wanted, space.length - 1));
            const there = space.subarray(offset, offset + length);
            expect((await copied(reader, offset, length)).equals(there)).toBe(true);
            end = offset + length;
          }
        });
      }),
      { numRuns: 60 },
    );
    expect(new Set(made).size).toBe(made.length);
  });

  it('have short reads one behind another at hand, up to the end of the base, and make no other for it', async () => {
    await spool.with(bases, lend, async (reader) => {
      await reader.read(99_000, 100);
      expect(reader.atHand?.(99_100, 100)).toBeUndefined();
      await reader.read(99_120, 100);
      expect(reader.atHand?.(99_300, 700)).toEqual(space.subarray(99_300, 100_000));
      expect(reader.atHand?.(99_900, 101)).toBeUndefined();
      expect(made).toEqual(['0']);
    });
  });

  it('give bytes that later reads leave alone', async () => {
    await spool.with(bases, lend, async (reader) => {
      await reader.read(0, 10);
      const first = await reader.read(20, 100);
      await reader.read(70_000, 10);
      await reader.read(70_100, 100);
      expect(first).toEqual(new Uint8Array(space.subarray(20, 120)));
    });
  });

  it('end where the last one ends', async () => {
    await spool.with(bases, lend, async (reader) => {
      const end = space.length;
      expect(reader.bytes).toBe(end);
      expect((await reader.read(end - 10, 20)).length).toBe(10);
      expect((await reader.read(end - 5, 20)).length).toBe(5);
      expect((await reader.read(end, 20)).length).toBe(0);
    });
  });
});

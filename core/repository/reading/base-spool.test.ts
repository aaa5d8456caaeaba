import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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

describe('bases laid out', () => {
  it('read as one space, whatever is read, and at once what is laid out', async () => {
    let atOnce = 0;
    const read = fc.tuple(
      fc.integer({ min: 0, max: space.length - 1 }),
      fc.integer({ min: 1, max: 150_000 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(read, { minLength: 1, maxLength: 20 }), async (reads) => {
        await spool.with(bases, lend, async (reader) => {
          for (const [offset, length] of reads) {
            const there = space.subarray(offset, offset + length);
            const now = Buffer.alloc(there.length);
            if (reader.readNow?.(offset, now) === true) {
              expect(now.equals(there)).toBe(true);
              atOnce += 1;
            }
            expect(Buffer.from(await reader.read(offset, length)).equals(there)).toBe(true);
          }
        });
      }),
      { numRuns: 60 },
    );
    expect(new Set(made).size).toBe(made.length);
    expect(atOnce).toBeGreaterThan(10);
  });

  it('are not at hand before they are laid out, nor across their ends or in holes', async () => {
    const apart = [bases[0], { ...bases[1], at: 150_000 }] as PlacedBase[];
    await spool.with(apart, lend, async (reader) => {
      const few = () => Buffer.alloc(10);
      expect(reader.readNow?.(0, few())).toBe(false);
      await reader.read(0, 1);
      expect(reader.readNow?.(0, few())).toBe(true);
      for (const offset of [99_995, 120_000, 149_995, 150_000, 200_000])
        expect([offset, reader.readNow?.(offset, few())]).toEqual([offset, false]);
    });
  });

  it('are made where they are read, once', async () => {
    await spool.with(bases, lend, async (reader) => {
      await reader.read(99_000, 1000);
      expect(made).toEqual(['0']);
      await reader.read(99_990, 20);
      await reader.read(0, 10);
    });
    await spool.with(bases, lend, (reader) => reader.read(50, 10));
    expect(made).toEqual(['0', '1']);
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

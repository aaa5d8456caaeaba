import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRandom, damaged, databasePages, editPages, noise } from '@overdub/core/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compress } from './bzip2/compress.ts';
import { bsdiffCodec } from './codec.ts';
import { headBytes, type Triple, tripleBytes } from './format.ts';
import { suffixArray } from './suffix-array.ts';

const codec = bsdiffCodec();
const base = noise(1000, 1);

function bzip2(bytes: Uint8Array): Uint8Array {
  const work = compress(bytes);
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

interface Parts {
  readonly triples?: readonly Triple[];
  readonly added?: Uint8Array;
  readonly inserted?: Uint8Array;
  readonly targetBytes?: number;
}

/** A delta of ten bytes, put together from parts that may contradict one another. */
function deltaOf({ triples, added, inserted, targetBytes = 10 }: Parts): Uint8Array {
  const control = bzip2(tripleBytes(triples ?? [{ add: 10, insert: 0, skip: 0 }]));
  const differences = bzip2(added ?? new Uint8Array(10));
  const extra = bzip2(inserted ?? new Uint8Array(0));
  const head = { controlBytes: control.length, differenceBytes: differences.length, targetBytes };
  return Buffer.concat([headBytes(head), control, differences, extra]);
}

const decode = (delta: Uint8Array): Promise<Uint8Array> => codec.decode(base, delta, { targetBytes: 10 });
const headOf = (values: readonly number[]): Uint8Array =>
  headBytes({
    controlBytes: values[0] as number,
    differenceBytes: values[1] as number,
    targetBytes: values[2] as number,
  });

describe('a BSDIFF40 delta', () => {
  it('put together by hand is read', async () => {
    expect(await decode(deltaOf({}))).toEqual(base.slice(0, 10));
    const moved = {
      triples: [
        { add: 0, insert: 0, skip: 20 },
        { add: 10, insert: 0, skip: -400 },
      ],
    };
    expect(await decode(deltaOf(moved))).toEqual(base.slice(20, 30));
  });

  it.each<[string, Parts, RegExp]>([
    ['a negative add (CVE-2014-9862)', { triples: [{ add: -1, insert: 11, skip: 0 }] }, /negative length/],
    ['a negative insert', { triples: [{ add: 10, insert: -5, skip: 0 }] }, /negative length/],
    ['a step past the target', { triples: [{ add: 11, insert: 0, skip: 0 }] }, /11 bytes where 10 are left/],
    [
      'lengths that overflow (CVE-2020-14315)',
      { triples: [{ add: 2 ** 52, insert: 2 ** 52, skip: 0 }] },
      /are left/,
    ],
    [
      'a copy before the base',
      {
        triples: [
          { add: 0, insert: 0, skip: -1 },
          { add: 10, insert: 0, skip: 0 },
        ],
      },
      /outside the base/,
    ],
    [
      'a copy past the base',
      {
        triples: [
          { add: 0, insert: 0, skip: 991 },
          { add: 10, insert: 0, skip: 0 },
        ],
      },
      /outside the base/,
    ],
    [
      'steps that make nothing',
      { triples: Array.from({ length: 9999 }, () => ({ add: 0, insert: 0, skip: 1 })) },
      /more steps than bytes/,
    ],
    ['too few steps', { triples: [{ add: 3, insert: 0, skip: 0 }] }, /control stream.*too early/],
    [
      'steps after the end',
      {
        triples: [
          { add: 10, insert: 0, skip: 0 },
          { add: 0, insert: 0, skip: 0 },
        ],
      },
      /control stream.*goes on/,
    ],
    ['too few differences', { added: new Uint8Array(9) }, /difference stream.*too early/],
    ['too many differences', { added: new Uint8Array(11) }, /difference stream.*goes on/],
    ['unused extra bytes', { inserted: new Uint8Array(1) }, /extra stream.*goes on/],
    ['another length', { targetBytes: 11 }, /makes 11 bytes instead of 10/],
  ])('with %s is refused', async (_title, parts, reason) => {
    await expect(decode(deltaOf(parts))).rejects.toMatchObject({ code: 'DELTA_INVALID' });
    await expect(decode(deltaOf(parts))).rejects.toThrow(reason);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['a negative stream length', headOf([-5, 10, 10]), /negative length/],
    ['a negative target', headOf([0, 0, -10]), /negative length/],
    ['streams longer than itself', headOf([2 ** 40, 0, 10]), /longer than itself/],
    ['half a head', headOf([0, 0, 10]).subarray(0, 20), /truncated in its head/],
    [
      'a number beyond 2^53',
      Buffer.concat([Buffer.from('BSDIFF40'), new Uint8Array(24).fill(0x7f)]),
      /2\^53/,
    ],
    ['no streams', headOf([0, 0, 10]), /control stream.*begin/],
  ])('with %s is refused', async (_title, delta, reason) => {
    await expect(decode(delta)).rejects.toMatchObject({ code: 'DELTA_INVALID' });
    await expect(decode(delta)).rejects.toThrow(reason);
  });

  it('of a bomb costs what the target does: the rest is never expanded', async () => {
    const bomb = deltaOf({ added: new Uint8Array(64 * 1024 * 1024) });
    expect(bomb.length).toBeLessThan(20_000);
    const began = performance.now();
    await expect(decode(bomb)).rejects.toThrow(/goes on/);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  it('that was damaged is never taken for right: its streams have checksums', async () => {
    const pages = databasePages(32 * 1024, 1);
    const target = editPages(pages, 30, 2);
    const delta = await codec.encode(pages, target);
    const random = createRandom(9);
    for (let i = 0; i < 500; i++) {
      const bad = damaged(delta, random);
      const made = await codec.decode(pages, bad, { targetBytes: target.length }).catch(() => undefined);
      if (made !== undefined) expect(Buffer.compare(made, target)).toBe(0);
    }
  });

  it('of contents that repeat themselves is found soon', async () => {
    const stripes = Buffer.from('ab'.repeat(400_000));
    const shifted = Buffer.concat([Buffer.from('c'), stripes.subarray(0, 300_000), noise(20, 1), stripes]);
    const began = performance.now();
    const delta = await codec.encode(stripes, shifted);
    expect(performance.now() - began).toBeLessThan(60_000);
    const made = await codec.decode(stripes, delta, { targetBytes: shifted.length });
    expect(Buffer.compare(made, shifted)).toBe(0);
  });
});

describe('bsdiff of files', () => {
  it('refuses what its memory does not hold, before it reads anything', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'overdub-bsdiff-'));
    const at = (name: string): string => join(folder, name);
    try {
      await writeFile(at('huge'), '');
      await truncate(at('huge'), 2 ** 30);
      await writeFile(at('tiny'), 'x');
      const refused = codec.files?.delta(at('huge'), at('tiny'), at('delta'));
      await expect(refused).rejects.toMatchObject({ code: 'DELTA_TOO_LARGE' });
      await expect(refused).rejects.toThrow(/1073741824 bytes would take \d+ bytes of memory; the limit/);
      await expect(
        bsdiffCodec({ memoryBytes: 1e15 }).files?.delta(at('huge'), at('huge'), at('delta')),
      ).rejects.toThrow(/are free/);
      expect((await readdir(folder)).sort()).toEqual(['huge', 'tiny']);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('a suffix array', () => {
  it('is the sorted order of all suffixes', () => {
    const text = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.array(fc.constantFrom(0, 1, 255), { maxLength: 120 }).map((bytes) => Uint8Array.from(bytes)),
    );
    fc.assert(
      fc.property(text, (bytes) => {
        const sorted = [...bytes.keys()].sort((a, b) => Buffer.compare(bytes.subarray(a), bytes.subarray(b)));
        expect([...suffixArray(bytes)]).toEqual(sorted);
      }),
      { numRuns: 2000 },
    );
  });
});

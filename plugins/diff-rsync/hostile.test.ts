import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noise } from '@overdub/core/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openIndex } from './block-index.ts';
import { rsyncCodec } from './codec.ts';
import { rdiffBlockBytes, sign } from './signature.ts';
import { createRoller, weakSum } from './weak-sum.ts';
import { WeakTable } from './weak-table.ts';

const codec = rsyncCodec();
const base = noise(1000, 1);
const MAGIC = [0x72, 0x73, 0x02, 0x36];
const decode = (bytes: readonly number[], targetBytes = 10): Promise<Uint8Array> =>
  codec.decode(base, Uint8Array.from([...MAGIC, ...bytes]), { targetBytes });

describe('an rdiff delta', () => {
  it('is read in each of its shapes', async () => {
    expect(await decode([2, 7, 8, 0], 2)).toEqual(Uint8Array.of(7, 8));
    expect(await decode([65, 1, 9, 0], 1)).toEqual(Uint8Array.of(9));
    expect(await decode([68, 0, 0, 0, 0, 0, 0, 0, 1, 9, 0], 1)).toEqual(Uint8Array.of(9));
    expect(await decode([69, 3, 2, 0], 2)).toEqual(base.slice(3, 5));
    const wide = [84, 0, 0, 0, 0, 0, 0, 3, 0xe6, 0, 0, 0, 0, 0, 0, 0, 2, 0];
    expect(await decode(wide, 2)).toEqual(base.slice(998, 1000));
  });

  it.each([
    ['a copy of no bytes', [69, 0, 0, 0], /copy of no bytes/],
    ['a literal of no bytes', [65, 0, 0], /literal of no bytes/],
    ['a copy past the base', [70, 0, 3, 0xe9, 0], /past the base/],
    ['an unknown command', [85, 0], /unknown command 85/],
    ['a number beyond 2^53', [84, ...Array<number>(16).fill(0xff), 0], /2\^53/],
    ['a copy of 2^52 bytes', [72, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0], /past the base/],
    ['a literal longer than the target', [67, 0xff, 0xff, 0xff, 0xff], /more than the 10 bytes/],
    ['bytes after the end', [2, 1, 1, 69, 0, 8, 0, 0], /after its end/],
    ['no end command', [2, 1, 1, 69, 0, 8], /truncated/],
    ['too few bytes', [2, 1, 1, 0], /makes 2 bytes instead of 10/],
  ])('with %s is refused', async (_title, bytes, reason) => {
    await expect(decode(bytes)).rejects.toMatchObject({ code: 'DELTA_INVALID' });
    await expect(decode(bytes)).rejects.toThrow(reason);
  });

  it('of any bytes never crashes, hangs or makes another length', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.nat(5000), async (bytes, targetBytes) => {
        const made = await decode([...bytes], targetBytes).catch((error: { code?: string }) => error.code);
        if (made instanceof Uint8Array) expect(made.length).toBe(targetBytes);
        else expect(made).toBe('DELTA_INVALID');
      }),
      { numRuns: 3000 },
    );
  });

  it('makes any target from any base', async () => {
    const pieces = fc.array(fc.constantFrom('abcabcabc', 'x', '0123456789'.repeat(9), '\0'.repeat(300)));
    await fc.assert(
      fc.asyncProperty(
        pieces,
        pieces,
        fc.constantFrom<'fast' | 'small'>('fast', 'small'),
        async (a, b, effort) => {
          const [from, to] = [Buffer.from(a.join('')), Buffer.from(b.join(''))];
          const delta = await codec.encode(from, to, { effort });
          const made = await codec.decode(from, delta, { targetBytes: to.length });
          expect(Buffer.compare(made, to)).toBe(0);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('that would fill the disk is refused before anything is written', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'overdub-rsync-'));
    try {
      await writeFile(join(folder, 'base'), '');
      await truncate(join(folder, 'base'), 2 ** 42);
      const copyAll = [72, 0, 0, 0, 4, 0, 0, 0, 0, 0];
      const copies = Array.from({ length: 2000 }, () => copyAll).flat();
      await writeFile(join(folder, 'delta'), Uint8Array.from([...MAGIC, ...copies, 0]));
      const patched = codec.files?.patch(join(folder, 'base'), join(folder, 'delta'), join(folder, 'made'));
      await expect(patched).rejects.toThrow(/bytes, but only \d+ are free/);
      expect((await readdir(folder)).sort()).toEqual(['base', 'delta']);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('an rdiff signature', () => {
  const index = (bytes: readonly number[], baseBytes = 0) =>
    codec.signatures?.index([{ signature: Uint8Array.from(bytes), baseBytes }]);

  it.each([
    ['MD4', [0x72, 0x73, 0x01, 0x36, 0, 0, 2, 0, 0, 0, 0, 8], /MD4.*CVE-2014-8242/],
    ['MD4 and rabinkarp', [0x72, 0x73, 0x01, 0x46, 0, 0, 2, 0, 0, 0, 0, 8], /MD4/],
    ['another magic', [1, 2, 3, 4, 0, 0, 2, 0, 0, 0, 0, 32], /no rdiff signature/],
    ['strong sums of 8 bytes', [0x72, 0x73, 0x01, 0x47, 0, 0, 2, 0, 0, 0, 0, 8], /strong sum of 8/],
    ['strong sums of 33 bytes', [0x72, 0x73, 0x01, 0x47, 0, 0, 2, 0, 0, 0, 0, 33], /strong sum of 33/],
    ['blocks of no bytes', [0x72, 0x73, 0x01, 0x47, 0, 0, 0, 0, 0, 0, 0, 32], /block length of 0/],
    ['blocks of 4 GiB', [0x72, 0x73, 0x01, 0x47, 255, 255, 255, 255, 0, 0, 0, 32], /block length/],
    ['half a header', [0x72, 0x73, 0x01, 0x47, 0, 0], /truncated/],
  ])('with %s is refused', async (_title, bytes, reason) => {
    await expect(index(bytes)).rejects.toThrow(reason);
  });

  it.each([
    [[0x72, 0x73]],
    [[0x72, 0x73, 0x01, 0x36, 0, 0, 2, 0, 255, 255, 255, 255, 1, 2]],
    [[9, 9, 9, 9, 9]],
  ])('read from a file without its base is checked as well: %j', async (bytes) => {
    expect(() => openIndex(Uint8Array.from(bytes))).toThrow(/signature|strong sum/);
  });

  it('takes the block length that rdiff takes', () => {
    const sizes = [0, 65_536, 65_537, 1_000_000, 100_000_000];
    expect(sizes.map(rdiffBlockBytes)).toEqual([256, 256, 256, 896, 9984]);
  });

  it('of a file is that of its bytes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'overdub-rsync-'));
    try {
      await writeFile(join(folder, 'base'), base);
      const options = { blockBytes: 64, sourceBytes: base.length };
      const parts: Uint8Array[] = [];
      for await (const part of sign(createReadStream(join(folder, 'base')), options)) parts.push(part);
      expect(Buffer.concat(parts).length).toBe(12 + Math.ceil(base.length / 64) * 36);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('whose blocks all share one weak sum costs neither time nor correctness', async () => {
    const blocks = 200_000;
    const signature = Buffer.alloc(12 + blocks * 16);
    signature.set([0x72, 0x73, 0x01, 0x47, 0, 0, 2, 0, 0, 0, 0, 12]);
    const sum = weakSum('rabinkarp', new Uint8Array(512), 0, 512);
    for (let block = 0; block < blocks; block++) {
      signature.writeUInt32BE(sum, 12 + block * 16);
      signature.writeUInt32BE(block, 16 + block * 16);
    }
    const began = performance.now();
    const hostile = await codec.signatures?.index([{ signature, baseBytes: blocks * 512 }]);
    expect(hostile?.bytes).toBeGreaterThan(0);
    expect(performance.now() - began).toBeLessThan(5000);
  });
});

describe.each(['rabinkarp', 'rollsum'] as const)('the weak sum %s', (kind) => {
  it('rolled over equals the sum computed afresh, and stops at every sum that is known', () => {
    const bytes = noise(5000, 3);
    const all = { bits: new Uint8Array(128).fill(255), shift: 22 };
    const none = { bits: new Uint8Array(128), shift: 22 };
    const roller = createRoller(kind, 100);
    roller.start(bytes, 0);
    for (let at = 0; at < 4900; at++) {
      expect(roller.sum).toBe(weakSum(kind, bytes, at, 100));
      expect(roller.next(bytes, at, 4900, all)).toBe(at + 1);
    }
    roller.start(bytes, 0);
    expect(roller.next(bytes, 0, 4900, none)).toBe(4900);
    expect(roller.sum).toBe(weakSum(kind, bytes, 4900, 100));
  });
});

describe('the weak table', () => {
  it('finds every block of distinct sums, however it grew', () => {
    const table = new WeakTable(() => false);
    const sums = Array.from({ length: 20_000 }, (_, i) => Math.imul(i + 1, 0x85ebca6b) >>> 0);
    for (const sum of sums) table.add(sum);
    expect(sums.every((sum, block) => table.find(sum, (found) => found === block) === block)).toBe(true);
    expect(table.find(12345, () => true)).toBe(-1);
  });
});

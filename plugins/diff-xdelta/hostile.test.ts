import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { damaged, databasePages, editPages, noise } from '@overdub/core/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { xdeltaCodec } from './codec.ts';
import { PACKED_WASM } from './wasm-bytes.ts';
import { XdeltaLoader } from './xdelta.ts';

const codec = xdeltaCodec();
const base = databasePages(64 * 1024, 1);
const target = editPages(base, 30, 2);
const MAGIC = [0xd6, 0xc3, 0xc4, 0];
const decode = (bytes: readonly number[], targetBytes = 10): Promise<Uint8Array> =>
  codec.decode(base, Uint8Array.from([...MAGIC, ...bytes]), { targetBytes });

describe('a VCDIFF delta', () => {
  it.each([
    ['secondary compression', [1, 2], /secondary compression/],
    ['a code table of its own', [2, 5], /code table/],
    ['unknown header bits', [8], /unknown header bits/],
    ['an application header that never ends', [4, 0x20, 1], /truncated in its application header/],
    ['a huge application header', [4, 0xbf, 0xff, 0xff, 0x7f], /application header claims/],
    ['a copy from its own target', [0, 2, 1, 0], /VCD_TARGET/],
    ['unknown window bits', [0, 64, 1, 0], /unknown window bits/],
    [
      'a segment past the base',
      [0, 5, 0x81, 0x00, 0x84, 0x80, 0x00, 7, 10, 0, 0, 0, 0, 0, 0],
      /past the base/,
    ],
    ['a segment of gigabytes', [0, 5, 0x88, 0x80, 0x80, 0x80, 0x00, 0, 1, 10], /source segment has/],
    ['a target of gigabytes', [0, 4, 7, 0x88, 0x80, 0x80, 0x80, 0x00, 0, 0], /target has/],
    ['a number that never ends', [0, 4, ...Array<number>(12).fill(0xff)], /2\^53/],
    ['a window cut short', [0, 4, 100, 10], /truncated in a window/],
    ['another target length', [0, 4, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0], /makes 9 bytes instead of 10/],
    ['no checksum', [0, 0, 5, 10, 0, 0, 0, 0], /no checksum/],
    ['nothing in it', [0], /makes 0 bytes/],
  ])('with %s is refused', async (_title, bytes, reason) => {
    await expect(decode(bytes)).rejects.toMatchObject({ code: 'DELTA_INVALID' });
    await expect(decode(bytes)).rejects.toThrow(reason);
  });

  it('of any bytes is refused or makes the right length', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 120 }), fc.nat(3000), async (bytes, targetBytes) => {
        const made = await decode([0, ...bytes], targetBytes).catch((error: { code?: string }) => error.code);
        if (made instanceof Uint8Array) expect(made.length).toBe(targetBytes);
        else expect(made).toBe('DELTA_INVALID');
      }),
      { numRuns: 2000 },
    );
  });

  it('that was damaged is never taken for right: its checksums see it', async () => {
    const delta = await codec.encode(base, target);
    let state = 5;
    const random = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 8;
    };
    for (let i = 0; i < 1500; i++) {
      const made = await codec
        .decode(base, damaged(delta, random), { targetBytes: target.length })
        .catch(() => undefined);
      if (made !== undefined) expect(Buffer.compare(made, target)).toBe(0);
    }
  });

  it('of a hundred thousand empty windows ends soon', async () => {
    const window = [4, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    const many = [0, ...Array.from({ length: 100_000 }, () => window).flat()];
    const began = performance.now();
    expect((await decode(many, 0)).length).toBe(0);
    expect(performance.now() - began).toBeLessThan(20_000);
  });

  it('makes any target from any base', async () => {
    const bytes = fc.uint8Array({ maxLength: 400 });
    await fc.assert(
      fc.asyncProperty(bytes, bytes, async (from, to) => {
        const whole = Buffer.concat([to, from, to]);
        const delta = await codec.encode(from, whole);
        const made = await codec.decode(from, delta, { targetBytes: whole.length });
        expect(Buffer.compare(made, whole)).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});

describe('the xdelta3 module', () => {
  it('is the one of the package xdelta3-wasm', async () => {
    const folder = dirname(createRequire(import.meta.url).resolve('xdelta3-wasm'));
    const name = (await readdir(folder)).find((file) => file.endsWith('.wasm')) as string;
    const ours = brotliDecompressSync(Buffer.from(PACKED_WASM, 'base64'));
    expect(Buffer.compare(ours, await readFile(join(folder, name)))).toBe(0);
  });

  it('says so when its memory does not suffice, and the next instance works', async () => {
    const loader = new XdeltaLoader();
    const small = await loader.load(1);
    expect(() => small.place(new Uint8Array(64 * 1024 * 1024))).toThrow(/no room/);
    await expect(loader.load(2 ** 40)).rejects.toThrow(/2 GiB/);
    const other = await loader.load(1);
    const bytes = noise(1000, 1);
    const source = other.place(bytes);
    expect(Buffer.compare(other.decode(other.encode(bytes, source, 1), source, 1000), bytes)).toBe(0);
  });
});

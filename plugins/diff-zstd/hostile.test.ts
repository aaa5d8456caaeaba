import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import { damaged, databasePages, editPages, noise } from '@overdub/core/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { zstdCodec } from './codec.ts';
import { knowsDictionaries } from './settings.ts';

const codec = zstdCodec();
const base = databasePages(64 * 1024, 1);
const target = editPages(base, 30, 2);
const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const decode = (bytes: readonly number[], targetBytes = 10): Promise<Uint8Array> =>
  codec.decode(base, Uint8Array.from([...MAGIC, ...bytes]), { targetBytes });

describe('a zstd delta', () => {
  it.each([
    ['a reserved bit', [0x2c, 10, 1, 0, 0], /reserved bit/],
    ['a trained dictionary', [0x25, 7, 10, 1, 0, 0], /trained dictionary/],
    ['no header', [0x24], /truncated in its header/],
    ['no block', [0x24, 10], /truncated between two blocks/],
    ['a reserved block', [0x24, 10, 7, 0, 0], /reserved type/],
    ['a block cut short', [0x24, 10, 0x51, 0, 0, 1, 2], /truncated in a block/],
    ['no checksum at its end', [0x24, 10, 0x53, 0, 0, 65], /checksum is missing/],
    ['bytes after its frame', [0x24, 10, 0x53, 0, 0, 65, 1, 2, 3, 4, 5], /goes on for 1 bytes/],
    ['no checksum bit', [0x20, 10, 0x53, 0, 0, 65], /no checksum/],
    ['no content size', [0x04, 0, 0x53, 0, 0, 65, 1, 2, 3, 4], /unknown number of bytes/],
    ['another content size', [0x24, 11, 0x53, 0, 0, 65, 1, 2, 3, 4], /makes 11 bytes instead of 10/],
    ['a content size of 2^60', [0xe4, 0, 0, 0, 0, 0, 0, 0, 16, 1, 0, 0], /2\^53/],
    ['a window of 128 MiB', [0x44, 0x88, 10, 0, 0x53, 0, 0, 65, 1, 2, 3, 4], /instead of 10|window of/],
    ['a wrong checksum', [0x24, 10, 0x53, 0, 0, 65, 1, 2, 3, 4], /does not decode/],
  ])('with %s is refused', async (_title, bytes, reason) => {
    await expect(decode(bytes)).rejects.toMatchObject({ code: 'DELTA_INVALID' });
    await expect(decode(bytes)).rejects.toThrow(reason);
  });

  it('that asks for a window far larger than its parts is refused before it is allocated', async () => {
    const bytes = [0x84, 21 << 3, 10, 0, 0, 0, 0x53, 0, 0, 65, 1, 2, 3, 4];
    await expect(decode(bytes)).rejects.toThrow(/window of 2147483648/);
  });

  it('that is a bomb stops at the target length', async () => {
    const bomb = zstdCompressSync(new Uint8Array(32 * 1024 * 1024), {
      params: { [constants.ZSTD_c_checksumFlag]: 1 },
    });
    await expect(codec.decode(base, bomb, { targetBytes: 1000 })).rejects.toThrow(/instead of 1000/);
  });

  it('of any bytes is refused or makes the right length', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 120 }), fc.nat(255), async (bytes, targetBytes) => {
        const made = await decode([0x24, targetBytes, ...bytes], targetBytes).catch(
          (error: { code?: string }) => error.code,
        );
        if (made instanceof Uint8Array) expect(made.length).toBe(targetBytes);
        else expect(made).toBe('DELTA_INVALID');
      }),
      { numRuns: 2000 },
    );
  });

  it('that was damaged is never taken for right: its checksum sees it', async () => {
    const delta = await codec.encode(base, target);
    let state = 9;
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

  it('finds changes in a base larger than the level’s own tables', async () => {
    const large = noise(24 * 1024 * 1024, 3);
    const changed = editPages(large, 30, 4);
    const delta = await codec.encode(large, changed);
    expect(delta.length).toBeLessThan(60_000);
    expect(Buffer.compare(await codec.decode(large, delta, { targetBytes: changed.length }), changed)).toBe(
      0,
    );
  });

  it('works on a base that begins like a trained dictionary', async () => {
    const trained = Buffer.concat([Buffer.from([0x37, 0xa4, 0x30, 0xec]), base]);
    const delta = await codec.encode(trained, target);
    expect(delta.length).toBeLessThan(2000);
    expect(Buffer.compare(await codec.decode(trained, delta, { targetBytes: target.length }), target)).toBe(
      0,
    );
  });
});

describe('zstd of files', () => {
  it('refuses files of 2 GiB and more, by name', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'overdub-zstd-'));
    const at = (name: string): string => join(folder, name);
    try {
      await writeFile(at('huge'), '');
      await truncate(at('huge'), 2 ** 31);
      await writeFile(at('tiny'), 'x');
      const deltas = [
        codec.files?.delta(at('huge'), at('tiny'), at('delta')),
        codec.files?.delta(at('tiny'), at('huge'), at('delta')),
      ];
      for (const delta of deltas) await expect(delta).rejects.toThrow(/huge has 2147483648 bytes.*2 GiB/);
      expect((await readdir(folder)).sort()).toEqual(['huge', 'tiny']);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('runs on a Node that hands dictionaries to libzstd', () => {
    expect(knowsDictionaries()).toBe(true);
  });
});

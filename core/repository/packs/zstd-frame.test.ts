import { constants, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { noise, prose } from '../fixture.ts';
import { assertOneFrame } from './zstd-frame.ts';

const WINDOW_LOG = 24;
const check = (bytes: Uint8Array, rawBytes: number) => () => assertOneFrame(bytes, rawBytes, WINDOW_LOG);

describe('the outside of a zstd frame', () => {
  it('passes whatever the compressor makes, with lengths of one, two, four bytes, and a checksum', () => {
    for (const raw of [
      noise(5, 'a'),
      prose(300, 'b'),
      prose(700_000, 'c'),
      noise(1_000_000, 'd'),
      Buffer.alloc(400_000),
    ]) {
      expect(check(zstdCompressSync(raw), raw.length)).not.toThrow();
      const params = { [constants.ZSTD_c_checksumFlag]: 1, [constants.ZSTD_c_windowLog]: 18 };
      expect(check(zstdCompressSync(raw, { params }), raw.length)).not.toThrow();
    }
  });

  it('does not pass another length, none, a cut, more behind it, or a second frame', () => {
    const raw = prose(50_000, 'x');
    const frame = zstdCompressSync(raw);
    expect(check(frame, raw.length + 1)).toThrow(/does not say/);
    const params = { [constants.ZSTD_c_contentSizeFlag]: 0 };
    expect(check(zstdCompressSync(raw, { params }), raw.length)).toThrow(/does not say/);
    for (let length = 0; length < frame.length; length += 97)
      expect(check(frame.subarray(0, length), raw.length)).toThrow();
    expect(check(Buffer.concat([frame, Buffer.alloc(1)]), raw.length)).toThrow(/follow/);
    expect(check(Buffer.concat([frame, frame]), raw.length)).toThrow(/follow/);
  });

  it('does not pass another magic, a skippable frame, a dictionary, a reserved bit or block, or a large window', () => {
    const raw = prose(50_000, 'x');
    const changed = (at: number, change: (byte: number) => number) => {
      const frame = Buffer.from(zstdCompressSync(raw));
      frame[at] = change(frame[at] as number);
      return check(frame, raw.length);
    };
    expect(changed(0, () => 0)).toThrow(/no zstd/);
    expect(check(Buffer.from('504d2a1800000000', 'hex'), 0)).toThrow(/no zstd/);
    expect(changed(4, (flags) => flags | 1)).toThrow(/dictionary/);
    expect(changed(4, (flags) => flags | 8)).toThrow(/reserved bit/);
    // Length flag 2: four bytes behind the window descriptor, then the first block.
    const windowed = (exponent: number, block: number) =>
      check(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x80, exponent << 3, 1, 0, 0, 0, block, 0, 0, 7]), 1);
    expect(windowed(WINDOW_LOG - 10, 0x0b)).not.toThrow();
    expect(windowed(WINDOW_LOG - 9, 0x0b)).toThrow(/window/);
    expect(windowed(0, 0x0f)).toThrow(/reserved type/);
  });
});

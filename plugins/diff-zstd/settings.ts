/** How Node's zstd is set so that its output is what `zstd --patch-from` writes and reads. */

import { constants, type ZstdOptions, zstdCompressSync } from 'node:zlib';

const MIN_WINDOW_LOG = 10;
const MAX_WINDOW_LOG = 31;
/** Up to this base, the level's own hash table finds everything; beyond, it must grow with the base. */
const LEVEL_TABLE_BASE = 16 * 1024 * 1024;
const MAX_HASH_LOG = 29;
/** ZSTD_MAGIC_DICTIONARY, little-endian: a base that begins so would be taken for a trained dictionary. */
const DICTIONARY_MAGIC = Uint8Array.of(0x37, 0xa4, 0x30, 0xec);

/** Below level 9 libzstd looks at too few places of a dictionary: deltas become hundreds of times larger. */
export const LEVELS = { fast: 9, small: 12 } as const;

/** Settings to compress a target of `targetBytes` against `base`. Never sets nbWorkers: Node's output then breaks. */
export function compressSettings(base: Uint8Array, targetBytes: number, level: number): ZstdOptions {
  const params: Record<number, number> = {
    [constants.ZSTD_c_compressionLevel]: level,
    [constants.ZSTD_c_checksumFlag]: 1,
    [constants.ZSTD_c_contentSizeFlag]: 1,
    [constants.ZSTD_c_windowLog]: windowLog(base.length + targetBytes),
  };
  if (base.length > LEVEL_TABLE_BASE) {
    params[constants.ZSTD_c_hashLog] = Math.min(MAX_HASH_LOG, log2(base.length) - 2);
  }
  return { params, pledgedSrcSize: targetBytes, ...prefix(base) };
}

/** Settings to decompress a frame whose header was checked. */
export function decompressSettings(base: Uint8Array, windowBytes: number): ZstdOptions {
  return { params: { [constants.ZSTD_d_windowLogMax]: windowLog(windowBytes) }, ...prefix(base) };
}

/**
 * Whether this Node gives the dictionary to libzstd at all: older ones ignore the option and would write, and
 * read, frames without any base.
 */
export function knowsDictionaries(): boolean {
  if (zstdCompressSync === undefined) return false;
  const text = Buffer.from(Array.from({ length: 512 }, (_, i) => (i * 167 + (i >> 3) * 31) & 255));
  return zstdCompressSync(text, { dictionary: text }).length < text.length / 2;
}

/** Offsets count back from the target's start, so a base without its first byte is as good for a frame. */
function prefix(base: Uint8Array): ZstdOptions {
  if (base.length === 0) return {};
  const trained = DICTIONARY_MAGIC.every((byte, i) => base[i] === byte);
  return { dictionary: trained ? base.subarray(1) : base };
}

function windowLog(bytes: number): number {
  return Math.max(MIN_WINDOW_LOG, Math.min(MAX_WINDOW_LOG, log2(bytes)));
}

function log2(bytes: number): number {
  return Math.ceil(Math.log2(Math.max(1, bytes)));
}

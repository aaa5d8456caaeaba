/** How Node's zstd is set so that its output is what `zstd --patch-from` writes and reads. */

import { constants, type ZstdOptions, zstdCompressSync } from 'node:zlib';

const MIN_WINDOW_LOG = 10;
const MAX_WINDOW_LOG = 31;
/** Bases up to this length get a table slot for each of their bytes; larger ones half of that. */
const FULL_TABLE_BASE = 16 * 1024 * 1024;
const MIN_HASH_LOG = 17;
const MAX_HASH_LOG = 28;
/** Bytes of libzstd's tables for each slot. */
const SLOT_BYTES = 6;
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
    [constants.ZSTD_c_hashLog]: hashLog(base.length),
  };
  return { params, pledgedSrcSize: targetBytes, ...prefix(base) };
}

/** Memory that {@link compressSettings} leads to: the base, libzstd's copy of it, its tables, the window. */
export function compressMemory(baseBytes: number, targetBytes: number): number {
  return 2 * baseBytes + SLOT_BYTES * 2 ** hashLog(baseBytes) + targetBytes;
}

/** Memory that {@link decompressSettings} leads to. */
export function decompressMemory(baseBytes: number, windowBytes: number): number {
  return 2 * baseBytes + windowBytes;
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

/** The level's own table is too small for all but tiny bases, and forgets their first part. */
function hashLog(baseBytes: number): number {
  const wanted = log2(baseBytes) - (baseBytes > FULL_TABLE_BASE ? 1 : 0);
  return Math.max(MIN_HASH_LOG, Math.min(MAX_HASH_LOG, wanted));
}

function windowLog(bytes: number): number {
  return Math.max(MIN_WINDOW_LOG, Math.min(MAX_WINDOW_LOG, log2(bytes)));
}

function log2(bytes: number): number {
  return Math.ceil(Math.log2(Math.max(1, bytes)));
}

/** How Node's zstd is set so that its output is what `zstd --patch-from` writes and reads. */

import { constants, type ZstdOptions, zstdCompressSync } from 'node:zlib';

const MIN_WINDOW_LOG = 10;
const MAX_WINDOW_LOG = 31;
const MIN_HASH_LOG = 17;
const MAX_HASH_LOG = 28;
/** Bytes of libzstd's tables for each slot. */
const SLOT_BYTES = 6;
/** ZSTD_MAGIC_DICTIONARY, little-endian: a base that begins so would be taken for a trained dictionary. */
const DICTIONARY_MAGIC = Uint8Array.of(0x37, 0xa4, 0x30, 0xec);

/** Below level 9 libzstd looks at too few places of a dictionary: deltas become hundreds of times larger. */
const LEVELS = { fast: 9, small: 12 } as const;

export type Effort = keyof typeof LEVELS;

/** Settings to compress a target of `targetBytes` against `base`. Never sets nbWorkers: Node's output then breaks. */
export function compressSettings(base: Uint8Array, targetBytes: number, effort: Effort): ZstdOptions {
  const params: Record<number, number> = {
    [constants.ZSTD_c_compressionLevel]: LEVELS[effort],
    [constants.ZSTD_c_checksumFlag]: 1,
    [constants.ZSTD_c_contentSizeFlag]: 1,
    [constants.ZSTD_c_windowLog]: windowLog(base.length + targetBytes),
    [constants.ZSTD_c_hashLog]: hashLog(base.length, effort),
  };
  return { params, pledgedSrcSize: targetBytes, ...prefix(base) };
}

/** Memory that {@link compressSettings} leads to, as measured: the base and its copies, libzstd's tables, the window. */
export function compressMemory(baseBytes: number, targetBytes: number, effort: Effort): number {
  return 3 * baseBytes + SLOT_BYTES * 2 ** hashLog(baseBytes, effort) + targetBytes;
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
  const text = Buffer.from(Array.from({ length: 512 }, (_, i) => (i * 167 + (i >> 3) * 31) & 255));
  return zstdCompressSync(text, { dictionary: text }).length < text.length / 2;
}

/** Offsets count back from the target's start, so a base without its first byte is as good for a frame. */
function prefix(base: Uint8Array): ZstdOptions {
  if (base.length === 0) return {};
  const trained = DICTIONARY_MAGIC.every((byte, i) => base[i] === byte);
  return { dictionary: trained ? base.subarray(1) : base };
}

/**
 * The level's own table forgets the first half of an incompressible 8 MiB base. With a slot for half its bytes
 * nearly all is found, with a slot for each everything, at twice the time.
 */
function hashLog(baseBytes: number, effort: Effort): number {
  const wanted = log2(baseBytes) - (effort === 'fast' ? 1 : 0);
  return Math.max(MIN_HASH_LOG, Math.min(MAX_HASH_LOG, wanted));
}

function windowLog(bytes: number): number {
  return Math.max(MIN_WINDOW_LOG, Math.min(MAX_WINDOW_LOG, log2(bytes)));
}

function log2(bytes: number): number {
  return Math.ceil(Math.log2(Math.max(1, bytes)));
}

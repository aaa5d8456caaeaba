import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { release } from '../../domain/release.ts';
import type { FramePlace } from './pack-format.ts';

const compressAsync = promisify(zstdCompress);
const decompressAsync = promisify(zstdDecompress);

/** How hard to try: `compare` tells sizes apart, `store` is what a snapshot waits for, `idle` is for later. */
export type ZstdEffort = 'compare' | 'store' | 'idle';

const LEVELS: Readonly<Record<ZstdEffort, number>> = { compare: 3, store: 6, idle: 19 };
/** A window over the largest frame: what repeats at its two ends is found. */
const WINDOW_LOG = 24;

/** Half of what the level takes for the largest frames: 32 MiB less of an appliance's memory. */
const IDLE_CHAIN_LOG = 23;

/** One Zstandard frame (RFC 8878), made off the main thread. Never sets nbWorkers: its output comes out truncated. */
export async function compress(bytes: Uint8Array, effort: ZstdEffort = 'compare'): Promise<Uint8Array> {
  const params = {
    [constants.ZSTD_c_compressionLevel]: LEVELS[effort],
    ...(bytes.length > 1 << 21 ? { [constants.ZSTD_c_windowLog]: WINDOW_LOG } : {}),
    ...(effort === 'idle' && bytes.length > 1 << 23 ? { [constants.ZSTD_c_chainLog]: IDLE_CHAIN_LOG } : {}),
  };
  // One output buffer for all: in pieces of the default 16 KiB every piece is a trip to another thread.
  const chunkSize = bytes.length + (bytes.length >>> 8) + 1024;
  const roomy = await compressAsync(bytes, { params, chunkSize, pledgedSrcSize: bytes.length });
  const fitting = Uint8Array.prototype.slice.call(roomy);
  release(roomy);
  return fitting;
}

/** A frame's raw bytes; throws unless they come out at exactly the promised length. Never allocates more. */
export async function decompress(
  stored: Uint8Array,
  frame: Pick<FramePlace, 'encoding' | 'rawBytes'>,
): Promise<Uint8Array> {
  const raw = frame.encoding === 'raw' ? stored : await decompressAsync(stored, outputOf(frame.rawBytes));
  if (raw.length !== frame.rawBytes) {
    throw new Error(`${raw.length} bytes came out where ${frame.rawBytes} were promised`);
  }
  return raw;
}

/** One output buffer, a little larger, so that the end of the frame is seen without asking for a second. */
function outputOf(rawBytes: number): { maxOutputLength: number; chunkSize: number } {
  return { maxOutputLength: Math.max(1, rawBytes), chunkSize: Math.max(1024, rawBytes + 64) };
}

/** The smaller of the bytes as they are and compressed; compression must earn its time. */
export async function pack(
  raw: Uint8Array,
  effort: ZstdEffort = 'store',
): Promise<{ encoding: 'raw' | 'zstd'; stored: Uint8Array }> {
  const stored = await compress(raw, effort);
  return stored.length < raw.length * 0.98 ? { encoding: 'zstd', stored } : { encoding: 'raw', stored: raw };
}

import { promisify } from 'node:util';
import { brotliCompress, brotliDecompress, constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { release } from '../../domain/release.ts';
import type { FrameEncoding, FramePlace } from './pack-format.ts';

const compressAsync = promisify(zstdCompress);
const brotliAsync = promisify(brotliCompress);

/** How hard to try: `compare` tells sizes apart, `store` is what a snapshot waits for, `idle` is for later. */
export type Effort = 'compare' | 'store' | 'idle';

const LEVELS: Readonly<Record<Effort, number>> = { compare: 3, store: 6, idle: 19 };
/** A window over the largest frame: what repeats at its two ends is found. */
const WINDOW_LOG = 24;

/** Half of what the level takes for the largest frames: 32 MiB less of an appliance's memory. */
const IDLE_CHAIN_LOG = 23;

/**
 * Groups of deltas are small, and take as much to read whatever is done: in Brotli they are a tenth smaller, for five times the time
 * (docs/overlays.md). Its memory is some twenty to forty times what it compresses.
 */
const BROTLI_MAX_BYTES = 2 * 1024 * 1024;
/** What Zstandard leaves more than this of is noise, and what Brotli does not make this much smaller is not worth its time of decoding. */
const BROTLI_TRIED = 0.9;
const BROTLI_WORTHWHILE = 0.97;

/** One Zstandard frame (RFC 8878), made off the main thread. Never sets nbWorkers: its output comes out truncated. */
export async function compress(bytes: Uint8Array, effort: Effort = 'compare'): Promise<Uint8Array> {
  const params = {
    [constants.ZSTD_c_compressionLevel]: LEVELS[effort],
    ...(bytes.length > 1 << 21 ? { [constants.ZSTD_c_windowLog]: WINDOW_LOG } : {}),
    ...(effort === 'idle' && bytes.length > 1 << 23 ? { [constants.ZSTD_c_chainLog]: IDLE_CHAIN_LOG } : {}),
  };
  return await fitting(
    compressAsync(bytes, { params, chunkSize: roomFor(bytes), pledgedSrcSize: bytes.length }),
  );
}

/** One Brotli stream (RFC 7932), as small as it gets. */
async function compressHardest(bytes: Uint8Array): Promise<Uint8Array> {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: Math.max(
      constants.BROTLI_MIN_WINDOW_BITS,
      Math.ceil(Math.log2(bytes.length + 16)),
    ),
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  return await fitting(brotliAsync(bytes, { params, chunkSize: roomFor(bytes) }));
}

/** One output buffer for all: in pieces of the default 16 KiB every piece is a trip to another thread. */
function roomFor({ length }: Uint8Array): number {
  return length + (length >>> 8) + 1024;
}

async function fitting(compressing: Promise<Buffer>): Promise<Uint8Array> {
  const roomy = await compressing;
  const bytes = Uint8Array.prototype.slice.call(roomy);
  release(roomy);
  return bytes;
}

interface Output {
  readonly maxOutputLength: number;
  readonly chunkSize: number;
}

type Decompress = (bytes: Uint8Array, output: Output) => Promise<Uint8Array>;

const DECOMPRESS: Readonly<Record<FrameEncoding, Decompress>> = {
  raw: async (bytes) => bytes,
  zstd: promisify(zstdDecompress),
  brotli: promisify(brotliDecompress),
};

/** A frame's raw bytes; throws unless they come out at exactly the promised length. Never allocates more. */
export async function decompress(
  stored: Uint8Array,
  { encoding, rawBytes }: Pick<FramePlace, 'encoding' | 'rawBytes'>,
): Promise<Uint8Array> {
  const raw = await DECOMPRESS[encoding](stored, outputOf(rawBytes));
  if (raw.length !== rawBytes) {
    throw new Error(`${raw.length} bytes came out where ${rawBytes} were promised`);
  }
  return raw;
}

/** One output buffer, a little larger, so that the end of the frame is seen without asking for a second. */
function outputOf(rawBytes: number): Output {
  return { maxOutputLength: Math.max(1, rawBytes), chunkSize: Math.max(1024, rawBytes + 64) };
}

/** The smallest of the bytes as they are and compressed; compression must earn its time. `isDeltas`: a group of deltas. */
export async function pack(
  raw: Uint8Array,
  effort: Effort = 'store',
  isDeltas = false,
): Promise<{ encoding: FrameEncoding; stored: Uint8Array }> {
  const stored = await compress(raw, effort);
  if (stored.length >= raw.length * 0.98) return { encoding: 'raw', stored: raw };
  const isTried = effort === 'idle' && isDeltas && raw.length <= BROTLI_MAX_BYTES;
  if (isTried && stored.length < raw.length * BROTLI_TRIED) {
    const smaller = await compressHardest(raw);
    const isWorthwhile = smaller.length < stored.length * BROTLI_WORTHWHILE;
    release(isWorthwhile ? stored : smaller);
    if (isWorthwhile) return { encoding: 'brotli', stored: smaller };
  }
  return { encoding: 'zstd', stored };
}

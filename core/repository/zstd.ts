import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import type { FramePlace } from './pack-format.ts';

const compressAsync = promisify(zstdCompress);
const decompressAsync = promisify(zstdDecompress);

/** Level 3 is where ratio and speed meet (140 MB/s a core). Never set nbWorkers: its output comes out truncated. */
const PARAMETERS = { [constants.ZSTD_c_compressionLevel]: 3 };

/** One Zstandard frame (RFC 8878), made off the main thread. */
export async function compress(bytes: Uint8Array): Promise<Uint8Array> {
  return compressAsync(bytes, { params: PARAMETERS });
}

/** A frame's raw bytes; throws unless they come out at exactly the promised length. Never allocates more. */
export async function decompress(
  stored: Uint8Array,
  frame: Pick<FramePlace, 'encoding' | 'rawBytes'>,
): Promise<Uint8Array> {
  const raw =
    frame.encoding === 'raw'
      ? stored
      : await decompressAsync(stored, { maxOutputLength: Math.max(1, frame.rawBytes) });
  if (raw.length !== frame.rawBytes) {
    throw new Error(`${raw.length} bytes came out where ${frame.rawBytes} were promised`);
  }
  return raw;
}

/** The smaller of the bytes as they are and compressed; compression must earn its time. */
export async function pack(
  raw: Uint8Array,
  known?: Uint8Array,
): Promise<{ encoding: 'raw' | 'zstd'; stored: Uint8Array }> {
  const stored = known ?? (await compress(raw));
  return stored.length < raw.length * 0.98 ? { encoding: 'zstd', stored } : { encoding: 'raw', stored: raw };
}

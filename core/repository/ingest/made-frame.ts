/** Chunks that came compressed together: opened once, and everything about them checked before it counts. */

import type { MadeFrame } from '../../contracts/repository.ts';
import { CHUNK_LIMITS } from '../../domain/chunker.ts';
import { digestOf } from '../../domain/content-ref.ts';
import type { Digest } from '../../domain/manifest.ts';
import { release } from '../../domain/release.ts';
import { decompress } from '../packs/frame-encoding.ts';
import { MAX_FRAME_BYTES } from '../packs/pack-format.ts';
import { assertOneFrame } from '../packs/zstd-frame.ts';

/** A window over the largest frame; 16 MiB. */
const WINDOW_LOG = 24;

/** One chunk of a frame; `payload` is a view of the frame's raw bytes. */
export interface FramedChunk {
  readonly digest: Digest;
  readonly bytes: number;
  readonly payload: Uint8Array;
}

/** What a frame holds, until it is closed. */
export interface OpenFrame {
  readonly chunks: readonly FramedChunk[];
  /** Frees the raw bytes: the payloads are empty from then on. What is still at work on them must have ended. */
  close(): void;
}

/**
 * What the frame holds, named by what came out of it. Throws an Error that says what is wrong with it. Allocates no more
 * than its lengths add up to, and nothing before they are known to be within bounds.
 */
export async function openFrame(frame: MadeFrame): Promise<OpenFrame> {
  const { encoding, stored, lengths } = frame;
  const rawBytes = lengths.reduce((sum, length) => sum + length, 0);
  const proper = lengths.every(
    (length) => Number.isInteger(length) && length > 0 && length <= CHUNK_LIMITS.max,
  );
  if (lengths.length === 0 || !proper) throw new Error('it lists a chunk of an impossible length');
  if (rawBytes > MAX_FRAME_BYTES) throw new Error(`it makes ${rawBytes} bytes, more than a frame may hold`);
  if (stored.length > rawBytes) throw new Error('it is longer than what it makes');
  if (encoding === 'zstd') assertOneFrame(stored, rawBytes, WINDOW_LOG);
  const raw = await decompress(stored, { encoding, rawBytes });
  let at = 0;
  const chunks = lengths.map((bytes) => {
    const payload = raw.subarray(at, at + bytes);
    at += bytes;
    return { digest: digestOf(payload), bytes, payload };
  });
  return { chunks, close: () => encoding === 'zstd' && release(raw) };
}

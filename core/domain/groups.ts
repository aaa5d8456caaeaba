/** Groups: chunks that travel compressed together (docs/agent-protocol.md), written, read and opened by both sides. */

import { promisify } from 'node:util';
import { constants, zstdDecompress } from 'node:zlib';
import { CHUNK_LIMITS } from './chunker.ts';
import { badFrame, encodeFrame, FRAME } from './frames.ts';
import type { Pieces } from './pieces.ts';
import { release } from './release.ts';
import { DIGESTS_LIMIT, GROUP_BYTES, type GroupHead } from './transfer-bodies.ts';

/** Pieces of the wire are shorter than the frames it takes. */
const PIECE_BYTES = 128 * 1024;
/** No stored frame needs a window over 16 MiB. */
const WINDOW_LOG = 24;
const decompress = promisify(zstdDecompress);

/** A group as it travelled. */
export interface TravelledGroup {
  readonly encoding: 'raw' | 'zstd';
  readonly stored: Uint8Array;
  /** Of each chunk, bytes. */
  readonly lengths: readonly number[];
}

/** The frames of a group: its head, its pieces, their end. */
export function* groupFrames(head: GroupHead, pieces: readonly Uint8Array[]): Generator<Uint8Array> {
  yield* encodeFrame(FRAME.group, JSON.stringify(head));
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += PIECE_BYTES)
      yield* encodeFrame(FRAME.piece, piece.subarray(at, at + PIECE_BYTES));
  }
  yield* encodeFrame(FRAME.piecesEnd);
}

/** What the pieces make, in a buffer of its own; INPUT_INVALID, before anything is allocated, when it announces too much. */
export async function readGroup(head: GroupHead, pieces: Pieces): Promise<TravelledGroup> {
  const { chunks: lengths, encoding, bytes } = checkGroup(head);
  const stored = Buffer.allocUnsafeSlow(bytes);
  let at = 0;
  for await (const piece of pieces) {
    if (piece.length > bytes - at) throw badFrame('a group is longer than it announced');
    stored.set(piece, at);
    at += piece.length;
  }
  if (at < bytes) throw badFrame('a group is shorter than it announced');
  return { encoding, stored, lengths };
}

/**
 * The decoded bytes of a group whose lengths are known to be proper ({@link rawBytesOf}); the stored ones are freed. Throws
 * anything unless it makes exactly as many as its lengths say; no more are allocated.
 */
export async function openGroup({ encoding, stored, lengths }: TravelledGroup): Promise<Uint8Array> {
  const bytes = rawBytesOf(lengths);
  if (encoding === 'raw') {
    if (stored.length !== bytes) throw new Error(`it holds ${stored.length} bytes, not ${bytes}`);
    return stored;
  }
  const params = { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG };
  const raw = await decompress(stored, { params, maxOutputLength: bytes, chunkSize: bytes + 64 });
  if (raw.length !== bytes) throw new Error(`it makes ${raw.length} bytes, not ${bytes}`);
  release(stored);
  return raw;
}

/** The sum of the lengths of a group's chunks; INPUT_INVALID when one of them or all together cannot be. */
export function rawBytesOf(lengths: readonly number[]): number {
  let bytes = 0;
  for (const length of lengths) {
    if (!Number.isInteger(length) || length < 1 || length > CHUNK_LIMITS.max)
      throw badFrame('a group holds a chunk of a length that cannot be');
    bytes += length;
  }
  if (bytes < 1 || bytes > GROUP_BYTES) throw badFrame('a group is longer than a group may be');
  return bytes;
}

function checkGroup(head: GroupHead): GroupHead {
  const { chunks, encoding, bytes } = head;
  const proper =
    Array.isArray(chunks) &&
    chunks.length <= DIGESTS_LIMIT &&
    (encoding === 'zstd' || encoding === 'raw') &&
    Number.isInteger(bytes) &&
    bytes > 0 &&
    bytes <= GROUP_BYTES;
  if (!proper) throw badFrame('a group announces what cannot be');
  return head;
}

/** The outside of a Zstandard frame (RFC 8878 §3.1): read before anything is allocated or decoded. */

import { OverdubError, type RandomReader } from '@overdub/core/agent';

const FRAME_MAGIC = 0xfd2fb528;

/** First bytes of every frame. */
export const FRAME_START = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd);

const CHECKSUM_BYTES = 4;
/** Magic, descriptor, window, dictionary id and content size at their longest. */
const MAX_HEADER_BYTES = 18;

export interface Frame {
  /** Absent when the writer did not know it. */
  readonly contentBytes: number | undefined;
  /** What a decoder must keep at hand. */
  readonly windowBytes: number;
  readonly checksummed: boolean;
}

/** A frame that is truncated, corrupt or hostile. */
export function invalid(message: string): OverdubError {
  return new OverdubError(
    'DELTA_INVALID',
    message,
    'Make the delta again from the right base; if it was stored, verify the repository.',
  );
}

/** Reads the header and walks the blocks: the delta is exactly one whole frame, or this rejects. */
export async function readFrame(delta: RandomReader): Promise<Frame> {
  const head = await delta.read(0, MAX_HEADER_BYTES);
  const { frame, headerBytes } = parseHeader(head);
  const end = (await walkBlocks(delta, headerBytes)) + (frame.checksummed ? CHECKSUM_BYTES : 0);
  if (end > delta.bytes) throw invalid('The delta is truncated: its checksum is missing.');
  if (end < delta.bytes) throw invalid(`The delta goes on for ${delta.bytes - end} bytes after its frame.`);
  return frame;
}

function parseHeader(head: Uint8Array): { readonly frame: Frame; readonly headerBytes: number } {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length < 5 || view.getUint32(0, true) !== FRAME_MAGIC) {
    throw invalid('This is no zstd delta: its first bytes are wrong.');
  }
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  if ((descriptor & 0x08) !== 0) throw invalid('The delta has a reserved bit set.');
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] as number;
  const sizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] as number;
  const windowAt = 5;
  const dictionaryAt = windowAt + (singleSegment ? 0 : 1);
  const sizeAt = dictionaryAt + dictionaryBytes;
  const headerBytes = sizeAt + sizeBytes;
  if (head.length < headerBytes) throw invalid('The delta is truncated in its header.');
  if (head.subarray(dictionaryAt, sizeAt).some((byte) => byte !== 0)) {
    throw invalid('The delta asks for a trained dictionary, not for a base.');
  }
  // A content size of two bytes counts from 256 (RFC 8878 §3.1.1.1.4).
  const contentBytes =
    sizeBytes === 0 ? undefined : littleEndian(head, sizeAt, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
  const windowBytes = singleSegment ? (contentBytes as number) : windowOf(view.getUint8(windowAt));
  return { frame: { contentBytes, windowBytes, checksummed: (descriptor & 4) !== 0 }, headerBytes };
}

/** Returns the offset after the last block. */
async function walkBlocks(delta: RandomReader, from: number): Promise<number> {
  let at = from;
  for (;;) {
    const head = await delta.read(at, 3);
    if (head.length < 3) throw invalid('The delta is truncated between two blocks.');
    const word = littleEndian(head, 0, 3);
    const type = (word >> 1) & 3;
    if (type === 3) throw invalid('The delta has a block of a reserved type.');
    at += 3 + (type === 1 ? 1 : word >> 3);
    if (at > delta.bytes) throw invalid('The delta is truncated in a block.');
    if ((word & 1) === 1) return at;
  }
}

/** RFC 8878 §3.1.1.1.2 */
function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function littleEndian(bytes: Uint8Array, from: number, length: number): number {
  let value = 0;
  for (let i = length - 1; i >= 0; i--) value = value * 256 + (bytes[from + i] as number);
  if (!Number.isSafeInteger(value)) throw invalid('The delta claims a content beyond 2^53 bytes.');
  return value;
}

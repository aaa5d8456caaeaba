/** A body whose frames are compressed already: a zstd stream (RFC 8878) of raw blocks, so that any reader takes it. */

import { Readable } from 'node:stream';

/** Block_Maximum_Size, §3.1.1.2.3; it also is the window announced, the least a reader has to hold. */
const BLOCK_BYTES = 128 * 1024;
/** Magic number; no single segment, no checksum, no length; a window of 2^(10+7) bytes. */
const FRAME_HEADER = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
const LAST_BLOCK = 1;
const BLOCK_HEADER_BYTES = 3;

/** Passes the pieces on as they are: they must not change until they are gone. Errors of `frames` destroy the stream. */
export function storeFrames(frames: AsyncIterable<Uint8Array>): Readable {
  return Readable.from(stored(frames), { objectMode: false, highWaterMark: 8 * BLOCK_BYTES });
}

async function* stored(frames: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield Buffer.from(FRAME_HEADER);
  for await (const piece of frames) {
    for (let at = 0; at < piece.length; at += BLOCK_BYTES) {
      const block = piece.subarray(at, at + BLOCK_BYTES);
      yield blockHeader(block.length, 0);
      yield block;
    }
  }
  yield blockHeader(0, LAST_BLOCK);
}

/** §3.1.1.2: the last one's bit, two bits of type (raw is 0), the length. */
function blockHeader(bytes: number, last: number): Buffer {
  const header = Buffer.allocUnsafe(BLOCK_HEADER_BYTES);
  header.writeUIntLE(bytes * 8 + last, 0, BLOCK_HEADER_BYTES);
  return header;
}

/** A body whose frames are compressed already: a zstd stream (RFC 8878) of raw blocks, so that any reader takes it. */

import { Readable } from 'node:stream';

/** Block_Maximum_Size, §3.1.1.2.3; it also is the window announced, the least a reader has to hold. */
const BLOCK_BYTES = 128 * 1024;
/** Magic number; no single segment, no checksum, no length; a window of 2^(10+7) bytes. */
const FRAME_HEADER = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
const LAST_BLOCK = 1;
const BLOCK_TYPE = 6;
const BLOCK_HEADER_BYTES = 3;
/** What a stored body begins and ends with. */
export const STORED_HEADER: Uint8Array = Buffer.from(FRAME_HEADER);
export const STORED_END: Uint8Array = blockHeader(0, LAST_BLOCK);
/** Shorter parts are joined: whoever sends a byte a block must not make a view of each. */
const SHORT_BYTES = 4096;
/** As much of a body as {@link isStored} looks at. */
export const STORED_HEADER_BYTES: number = FRAME_HEADER.length;
/** The code of zlib's own complaints about what it is given. */
const DATA_ERROR = 'Z_DATA_ERROR';

/** Passes the pieces on as they are: they must not change until they are gone. Errors of `frames` destroy the stream. */
export function storeFrames(frames: AsyncIterable<Uint8Array>): Readable {
  return Readable.from(stored(frames), { objectMode: false, highWaterMark: 8 * BLOCK_BYTES });
}

async function* stored(frames: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield STORED_HEADER;
  for await (const piece of frames) yield* storedBlocks(piece);
  yield STORED_END;
}

/** Some of the frames of such a body, in one piece: behind {@link STORED_HEADER} and before {@link STORED_END}. */
export function storedPiece(frames: Iterable<Uint8Array>): Uint8Array {
  return Buffer.concat([...frames].flatMap(storedBlocks));
}

/** The blocks that hold a piece of the body, as views of it: between {@link STORED_HEADER} and {@link STORED_END}. */
export function storedBlocks(piece: Uint8Array): Uint8Array[] {
  const blocks: Uint8Array[] = [];
  for (let at = 0; at < piece.length; at += BLOCK_BYTES) {
    const block = piece.subarray(at, at + BLOCK_BYTES);
    blocks.push(blockHeader(block.length, 0), block);
  }
  return blocks;
}

/** Does a body that begins like this hold raw blocks alone? Other compressors announce other windows. */
export function isStored(beginning: Uint8Array): boolean {
  return beginning.length >= FRAME_HEADER.length && FRAME_HEADER.every((byte, at) => beginning[at] === byte);
}

/**
 * What {@link storeFrames} was given, as views of the pieces that arrive: neither a decompressor nor a buffer in between.
 * Throws an Error with the code of zlib's complaints when it is cut off, goes on behind its end, or holds other blocks.
 */
export async function* storedFrames(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let skipped = 0;
  let header = 0;
  let headerBytes = 0;
  let left = 0;
  let isLast = false;
  for await (const piece of source) {
    const short = new ShortParts();
    let at = Math.min(FRAME_HEADER.length - skipped, piece.length);
    skipped += at;
    while (at < piece.length) {
      if (left > 0) {
        const part = piece.subarray(at, at + left);
        if (!short.fits(part)) yield* short.take();
        if (part.length < SHORT_BYTES) short.add(part);
        else yield part;
        at += part.length;
        left -= part.length;
        continue;
      }
      if (isLast) throw badBlocks('go on behind the last one');
      header += (piece[at++] as number) * 2 ** (8 * headerBytes++);
      if (headerBytes < BLOCK_HEADER_BYTES) continue;
      isLast = (header & LAST_BLOCK) !== 0;
      left = header >>> 3;
      if ((header & BLOCK_TYPE) !== 0 || left > BLOCK_BYTES) throw badBlocks('are not raw ones');
      header = 0;
      headerBytes = 0;
    }
    yield* short.take();
  }
  if (!isLast || left > 0) throw badBlocks('are cut off');
}

/** Parts of one piece that are too short to be passed on by themselves, one behind another. */
class ShortParts {
  #joined: Buffer | undefined;
  #bytes = 0;

  /** Is there room for this part behind those that wait? */
  fits(part: Uint8Array): boolean {
    return part.length + this.#bytes < SHORT_BYTES;
  }

  add(part: Uint8Array): void {
    this.#joined ??= Buffer.allocUnsafe(SHORT_BYTES);
    this.#joined.set(part, this.#bytes);
    this.#bytes += part.length;
  }

  /** What was added since the last call. */
  *take(): Generator<Uint8Array> {
    if (this.#joined !== undefined) yield this.#joined.subarray(0, this.#bytes);
    this.#joined = undefined;
    this.#bytes = 0;
  }
}

function badBlocks(what: string): Error {
  return Object.assign(new Error(`the blocks of a stored body ${what}`), { code: DATA_ERROR });
}

/** §3.1.1.2: the last one's bit, two bits of type (raw is 0), the length. */
function blockHeader(bytes: number, last: number): Buffer {
  const header = Buffer.allocUnsafe(BLOCK_HEADER_BYTES);
  header.writeUIntLE(bytes * 8 + last, 0, BLOCK_HEADER_BYTES);
  return header;
}

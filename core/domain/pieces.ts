/** Streams inside frame streams: deltas and signatures in pieces, chunks cut from what a delta makes. */

import { badFrame, FRAME, type Frame } from './frames.ts';

/** The bytes of a delta or signature: frames up to the end of the pieces. Its reader may stop before that. */
export class Pieces implements AsyncIterable<Uint8Array> {
  readonly #frames: AsyncGenerator<Frame>;
  #ended = false;

  constructor(frames: AsyncGenerator<Frame>) {
    this.#frames = frames;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let piece = await this.#next(); piece !== undefined; piece = await this.#next()) yield piece;
  }

  /** Skips what its reader left. */
  async drain(): Promise<void> {
    while ((await this.#next()) !== undefined);
  }

  async #next(): Promise<Uint8Array | undefined> {
    if (this.#ended) return undefined;
    const next = await this.#frames.next();
    if (next.done === true) throw badFrame('it stops inside a delta');
    this.#ended = next.value.type === FRAME.piecesEnd;
    if (this.#ended) return undefined;
    if (next.value.type !== FRAME.piece) throw badFrame('a delta is interrupted by another frame');
    return next.value.payload;
  }
}

/** Slices a stream by lengths; rejects when it is shorter or longer than their sum. */
export async function* cut(
  source: AsyncIterable<Uint8Array>,
  lengths: readonly number[],
): AsyncGenerator<Uint8Array> {
  let chunk: Buffer | undefined;
  let have = 0;
  let at = 0;
  for await (const piece of source) {
    for (let from = 0; from < piece.length; ) {
      const length = lengths[at];
      if (length === undefined) throw new RangeError('the delta makes more than it announced');
      if (chunk === undefined && piece.length === length && piece.length === piece.buffer.byteLength) {
        at += 1;
        yield piece;
        break;
      }
      // Copied: a piece may be a small view of a large buffer, which it would keep alive.
      chunk ??= Buffer.allocUnsafeSlow(length);
      const part = piece.subarray(from, from + length - have);
      chunk.set(part, have);
      have += part.length;
      from += part.length;
      if (have < length) break;
      yield chunk;
      chunk = undefined;
      have = 0;
      at += 1;
    }
  }
  if (at < lengths.length) throw new RangeError('the delta makes less than it announced');
}

/** Makes a delta's copies exact to the byte, where the base is at hand: blocks only told where to look. */

import type { RandomReader } from '@overdub/core/agent';
import { DeltaReader } from './delta-reader.ts';
import { DeltaWriter } from './delta-writer.ts';

/** Literal bytes that are held back, since the next copy may take them over. */
const HELD_BYTES = 128 * 1024;
const COMPARE_BYTES = 64 * 1024;

/** Streams the same target's delta with every copy grown to both sides into the literals beside it. */
export async function* growCopies(
  base: RandomReader,
  delta: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const reader = new DeltaReader({ baseBytes: base.bytes });
  const grower = new Grower(base);
  for await (const chunk of delta) {
    for (const command of reader.read(chunk)) {
      if (command.kind === 'literal') await grower.literal(command.bytes);
      else await grower.copy(command.offset, command.length);
    }
    const piece = grower.writer.take();
    if (piece !== undefined) yield piece;
  }
  reader.finish();
  grower.end();
  yield grower.writer.take() as Uint8Array;
}

class Grower {
  readonly writer = new DeltaWriter();
  readonly #base: RandomReader;
  readonly #held = new Uint8Array(HELD_BYTES);
  #heldLength = 0;
  /** Where the base goes on after a copy that may still grow, or -1. */
  #next = -1;

  constructor(base: RandomReader) {
    this.#base = base;
  }

  async literal(bytes: Uint8Array): Promise<void> {
    const rest = bytes.subarray(await this.#growForward(bytes));
    for (let from = 0; from < rest.length; from += HELD_BYTES / 2) {
      this.#hold(rest.subarray(from, from + HELD_BYTES / 2));
    }
  }

  async copy(offset: number, length: number): Promise<void> {
    const grown = await this.#equalBefore(offset);
    this.writer.literal(this.#held.subarray(0, this.#heldLength - grown));
    this.writer.copy(offset - grown, grown + length);
    this.#heldLength = 0;
    this.#next = offset + length;
  }

  end(): void {
    this.writer.literal(this.#held.subarray(0, this.#heldLength));
    this.writer.end();
  }

  /** Returns how many of the bytes the last copy took over. */
  async #growForward(bytes: Uint8Array): Promise<number> {
    let grown = 0;
    while (this.#next >= 0 && grown < bytes.length) {
      const wanted = bytes.subarray(grown, grown + COMPARE_BYTES);
      const there = await this.#base.read(this.#next, wanted.length);
      let equal = 0;
      while (equal < there.length && there[equal] === wanted[equal]) equal++;
      if (equal > 0) this.writer.copy(this.#next, equal);
      grown += equal;
      this.#next = equal < wanted.length ? -1 : this.#next + equal;
    }
    return grown;
  }

  async #equalBefore(offset: number): Promise<number> {
    const most = Math.min(this.#heldLength, offset, COMPARE_BYTES);
    const there = await this.#base.read(offset - most, most);
    let equal = 0;
    while (
      equal < there.length &&
      there[there.length - 1 - equal] === this.#held[this.#heldLength - 1 - equal]
    )
      equal++;
    return equal;
  }

  /** At most half of what can be held. */
  #hold(bytes: Uint8Array): void {
    const over = this.#heldLength + bytes.length - HELD_BYTES;
    if (over > 0) {
      this.writer.literal(this.#held.subarray(0, over));
      this.#held.copyWithin(0, over, this.#heldLength);
      this.#heldLength -= over;
    }
    this.#held.set(bytes, this.#heldLength);
    this.#heldLength += bytes.length;
  }
}

/** Deltas and patches of any length, as streams, against a virtual base. */

import type { DecodeOptions, RandomReader } from '@overdub/core/agent';
import type { BlockIndex } from './block-index.ts';
import { BlockSearcher } from './block-searcher.ts';
import { DeltaReader } from './delta-reader.ts';
import { type DeltaSink, DeltaWriter } from './delta-writer.ts';
import { invalid } from './format.ts';
import { createStrongSum } from './strong-sum.ts';

const PIECE_BYTES = 256 * 1024;
/** Largest piece of what a delta makes, and what is small enough to be made in one. */
const MADE_BYTES = 1024 * 1024;
const MADE_WHOLE_BYTES = 8 * 1024 * 1024;

/** Streams the rdiff delta of `target` against the index's virtual base. Deterministic for equal bytes. */
export async function* deltaStream(
  index: BlockIndex,
  target: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  const writer = new DeltaWriter();
  let search: DeltaSink = writer;
  for (const group of index.groups.toReversed()) {
    search = new BlockSearcher(group, await createStrongSum(group.strong), search);
  }
  for await (const chunk of target) {
    for (let from = 0; from < chunk.length; from += PIECE_BYTES) {
      signal?.throwIfAborted();
      search.literal(chunk.subarray(from, from + PIECE_BYTES));
      const piece = writer.take();
      if (piece !== undefined) yield piece;
    }
  }
  signal?.throwIfAborted();
  search.end();
  const piece = writer.take();
  if (piece !== undefined) yield piece;
}

/**
 * Applies an rdiff delta; see {@link SignatureFeature.patch}. Without `targetBytes` the delta decides the length.
 * Pieces are large, whatever the commands: a log's delta has one every few bytes. What is no longer than a chunk comes
 * in one, so that nobody needs to put it together.
 */
export async function* patchStream(
  base: RandomReader,
  delta: AsyncIterable<Uint8Array>,
  options: Partial<DecodeOptions>,
): AsyncGenerator<Uint8Array> {
  const { signal, targetBytes } = options;
  const reader = new DeltaReader({
    baseBytes: base.bytes,
    ...(targetBytes === undefined ? {} : { targetBytes }),
  });
  const made = new Gathered(targetBytes ?? Number.POSITIVE_INFINITY);
  signal?.throwIfAborted();
  for await (const chunk of delta) {
    for (const command of reader.read(chunk)) {
      signal?.throwIfAborted();
      const length = command.kind === 'literal' ? command.bytes.length : command.length;
      for (let done = 0; done < length; ) {
        const room = made.room(length - done);
        if (command.kind === 'literal') room.set(command.bytes.subarray(done, done + room.length));
        else if (base.readNow?.(command.offset + done, room) !== true)
          await readInto(base, command.offset + done, room);
        done += room.length;
        if (made.full) yield made.take();
      }
    }
  }
  reader.finish();
  if (!made.empty) yield made.take();
}

/** Bytes put together into pieces of their own. */
class Gathered {
  readonly #largest: number;
  #left: number;
  #buffer: Uint8Array = new Uint8Array(0);
  #filled = 0;

  /** `bytes`: what will be gathered in all. */
  constructor(bytes: number) {
    this.#largest = bytes <= MADE_WHOLE_BYTES ? bytes : MADE_BYTES;
    this.#left = bytes;
  }

  get empty(): boolean {
    return this.#filled === 0;
  }

  get full(): boolean {
    return this.#filled === this.#buffer.length;
  }

  /** Where the next bytes go: at most `wanted`, at least one. */
  room(wanted: number): Uint8Array {
    if (this.#buffer.length === 0) {
      this.#buffer = Buffer.allocUnsafeSlow(Math.min(this.#largest, this.#left));
      this.#left -= this.#buffer.length;
    }
    const room = this.#buffer.subarray(this.#filled, this.#filled + wanted);
    this.#filled += room.length;
    return room;
  }

  take(): Uint8Array {
    const taken = this.full ? this.#buffer : this.#buffer.subarray(0, this.#filled);
    this.#buffer = new Uint8Array(0);
    this.#filled = 0;
    return taken;
  }
}

async function readInto(base: RandomReader, offset: number, room: Uint8Array): Promise<void> {
  const bytes = await base.read(offset, room.length, room);
  if (bytes.length !== room.length) {
    throw invalid(
      `The base gave ${bytes.length} of ${room.length} bytes at ${offset}: it is shorter than it said.`,
    );
  }
  if (bytes.buffer !== room.buffer || bytes.byteOffset !== room.byteOffset) room.set(bytes);
}

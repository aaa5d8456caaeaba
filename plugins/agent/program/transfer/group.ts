/** Chunks on their way, compressed together: the appliance keeps a group as it comes. */

import { type Compression, type GroupHead, groupFrames, heardLater } from '@overdub/core/agent';
import { GroupCompressor } from './group-compressor.ts';

/** What is nearly incompressible travels and is stored as it is. */
const WORTHWHILE = 0.98;
/**
 * Where less or more than these shares is left of a group, effort saves next to nothing, and those that follow it are much like it.
 * `leastAgain` is of what was made without effort, which leaves more.
 */
const WORTH_EFFORT = { least: 1 / 20, leastAgain: 1 / 16, most: 9 / 10 } as const;
/** A group leaves with so many chunks, however small: the appliance keeps it whole, and knows all of them at once. */
const GROUP_CHUNKS = 8192;

interface Compressed {
  readonly head: GroupHead;
  readonly pieces: readonly Uint8Array[];
}

/**
 * Gathers chunks up to a number of bytes. While one group is compressed, on another thread, the one before is sent and the next is
 * filled: two buffers serve a whole upload. Close it in the end.
 */
export class Groups {
  readonly #buffers: Buffer[];
  readonly #wanted: Compression;
  #compressor: { readonly how: Compression; readonly made: GroupCompressor } | undefined;
  #how: Compression;
  #filled = 0;
  #lengths: number[] = [];
  #leaving: Promise<Compressed> | undefined;

  constructor(groupBytes: number, compression: Compression) {
    this.#buffers = [Buffer.allocUnsafeSlow(groupBytes), Buffer.allocUnsafeSlow(groupBytes)];
    this.#wanted = compression;
    this.#how = compression;
  }

  /** May a chunk of this length go into any group? */
  takes(bytes: number): boolean {
    return bytes <= this.#buffer.length;
  }

  /** Does the group have to leave before a chunk of this length fits? */
  isFullFor(bytes: number): boolean {
    return this.#filled + bytes > this.#buffer.length || this.#lengths.length >= GROUP_CHUNKS;
  }

  /** Where the next chunk may be read into, so that it need not be copied. */
  room(bytes: number): Uint8Array {
    return this.#buffer.subarray(this.#filled, this.#filled + bytes);
  }

  /** Adds a chunk, which may lie in the room already. */
  add(chunk: Uint8Array): void {
    const room = this.room(chunk.length);
    if (room.buffer !== chunk.buffer || room.byteOffset !== chunk.byteOffset) room.set(chunk);
    this.#filled += chunk.length;
    this.#lengths.push(chunk.length);
  }

  /** Begins to compress what was added since, and gives out the group before meanwhile, as frames of the wire. */
  async *next(): AsyncGenerator<Uint8Array> {
    const before = await this.#leaving;
    this.#leaving = undefined;
    if (this.#filled > 0) {
      this.#leaving = heardLater(this.#compress(this.#buffer.subarray(0, this.#filled), this.#lengths));
      this.#buffers.reverse();
      this.#filled = 0;
      this.#lengths = [];
    }
    if (before !== undefined) yield* groupFrames(before.head, before.pieces);
  }

  /** Gives out all there is. */
  async *end(): AsyncGenerator<Uint8Array> {
    yield* this.next();
    yield* this.next();
  }

  async close(): Promise<void> {
    await this.#leaving?.catch(() => undefined);
    this.#compressor?.made.close();
  }

  async #compress(raw: Buffer, chunks: readonly number[]): Promise<Compressed> {
    const made = await this.#compressorFor(this.#how).compress(raw);
    const bytes = made.reduce((sum, piece) => sum + piece.length, 0);
    this.#how = this.#isWorthEffort(bytes / raw.length) ? this.#wanted : 'fast';
    if (bytes < raw.length * WORTHWHILE) return { head: { chunks, encoding: 'zstd', bytes }, pieces: made };
    // Copied: the buffer is filled anew while this may still be on its way.
    const pieces = [Uint8Array.prototype.slice.call(raw)];
    return { head: { chunks, encoding: 'raw', bytes: raw.length }, pieces };
  }

  #isWorthEffort(left: number): boolean {
    const least = this.#how === 'fast' ? WORTH_EFFORT.leastAgain : WORTH_EFFORT.least;
    return left >= least && left <= WORTH_EFFORT.most;
  }

  /** One at a time, since each holds a window and tables of some 25 MiB. */
  #compressorFor(how: Compression): GroupCompressor {
    if (this.#compressor?.how === how) return this.#compressor.made;
    this.#compressor?.made.close();
    this.#compressor = { how, made: new GroupCompressor(how, this.#buffer.length) };
    return this.#compressor.made;
  }

  get #buffer(): Buffer {
    return this.#buffers[0] as Buffer;
  }
}

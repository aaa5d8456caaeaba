/** Reads one bzip2 stream that lies within a larger file, in memory that depends on neither. */

import type { RandomReader } from '@overdub/core/agent';
import { BitReader, OutOfBits } from './bits.ts';
import { combinedCrc } from './crc.ts';
import { BadBlock, type BlockContent, readBlock } from './decode-block.ts';
import { BLOCK_MAGIC, END_MAGIC, LEVEL_BYTES, STREAM_MAGIC } from './format.ts';

const HEAD_BYTES = 4;
/** More than any block takes: 900,000 codes of 20 bits, and tables whose steps do not wander. */
const WINDOW_BYTES = 3 * 1024 * 1024;

/** A bzip2 stream that is truncated, corrupt or hostile. */
export class BadStream extends Error {}

/** Call {@link Bzip2Reader.fill} for bytes, then {@link Bzip2Reader.end}. About 8 MB of memory. */
export class Bzip2Reader {
  readonly #source: RandomReader;
  /** Where the bits not read yet begin: a byte of the source, and how many of its bits are used. */
  #at: number;
  #usedBits = 0;
  readonly #end: number;
  #blockBytes = 0;
  #block: BlockContent | undefined;
  #crc = 0;
  #ended = false;

  constructor(source: RandomReader, offset: number, length: number) {
    this.#source = source;
    this.#at = offset;
    this.#end = offset + length;
  }

  /** Fills all of `into`. Throws BadStream when the stream ends before, or is damaged. */
  async fill(into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const count = await this.#read(into.subarray(done));
      if (count === 0) throw new BadStream('it ends too early');
      done += count;
    }
  }

  /** Throws BadStream unless everything was read, and checked, and nothing follows. */
  async end(): Promise<void> {
    if ((await this.#read(new Uint8Array(1))) > 0) throw new BadStream('it goes on after what is needed');
    if (this.#at !== this.#end) throw new BadStream(`${this.#end - this.#at} bytes follow it`);
  }

  /** 0 at the end. */
  async #read(into: Uint8Array): Promise<number> {
    for (;;) {
      const count = this.#block === undefined ? 0 : guarded(() => (this.#block as BlockContent).read(into));
      if (count > 0 || this.#ended) return count;
      await this.#next();
    }
  }

  /** Goes to the next block, or to the end. */
  async #next(): Promise<void> {
    if (this.#blockBytes === 0) await this.#readHead();
    const window = await this.#source.read(this.#at, Math.min(WINDOW_BYTES, this.#end - this.#at));
    const bits = new BitReader(window);
    guarded(() => {
      bits.get(this.#usedBits);
      const magic = bits.get48();
      if (magic === BLOCK_MAGIC) {
        this.#block = readBlock(bits, this.#blockBytes);
        this.#crc = combinedCrc(this.#crc, this.#block.crc);
      } else if (magic === END_MAGIC) {
        if (bits.get32() !== this.#crc) throw new BadBlock('its checksum is wrong');
        this.#block = undefined;
        this.#ended = true;
      } else throw new BadBlock('no block begins where one should');
    });
    const whole = this.#ended || bits.usedBits === 0;
    this.#at += bits.usedBytes - (whole ? 0 : 1);
    this.#usedBits = whole ? 0 : bits.usedBits;
  }

  async #readHead(): Promise<void> {
    const head = await this.#source.read(this.#at, Math.min(HEAD_BYTES, this.#end - this.#at));
    const level = (head[HEAD_BYTES - 1] ?? 0) - 0x30;
    if (STREAM_MAGIC.some((byte, i) => head[i] !== byte) || level < 1 || level > 9) {
      throw new BadStream('it does not begin as one');
    }
    this.#at += HEAD_BYTES;
    this.#blockBytes = level * LEVEL_BYTES;
  }
}

function guarded<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof OutOfBits) throw new BadStream('it is truncated');
    if (error instanceof BadBlock) throw new BadStream(error.message);
    throw error;
  }
}

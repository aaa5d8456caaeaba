/** The numbers, names and digests that a pack's index is made of: little-endian, one behind another. */

import type { Digest } from '../../domain/manifest.ts';

/** Reads forward; every read past the end throws. */
export class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** Another one at the same place. */
  copy(): Cursor {
    return new Cursor(this.#bytes, this.#at);
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#step(1));
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#step(2));
  }

  u48(): number {
    return this.#bytes.readUIntLE(this.#step(6), 6);
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#step(4));
  }

  text(length: number): string {
    const start = this.#step(length);
    return this.#bytes.toString('utf8', start, start + length);
  }

  digest(): Digest {
    const start = this.#step(32);
    return this.#bytes.toString('hex', start, start + 32);
  }

  /** `count` items; a count that the rest cannot hold is refused before anything is allocated. */
  repeat<T>(count: number, read: () => T): T[] {
    if (count > this.#bytes.length - this.#at) throw new Error('its index counts more than it holds');
    const items: T[] = [];
    for (let at = 0; at < count; at++) items.push(read());
    return items;
  }

  #step(length: number): number {
    const start = this.#at;
    if (start + length > this.#bytes.length) throw new Error('its index is cut off');
    this.#at += length;
    return start;
  }
}

/** Bytes that are put one behind another; one buffer, however many there are of them. */
export class ByteList {
  #bytes = Buffer.allocUnsafe(4096);
  #at = 0;

  /** All of them so far. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  u8(value: number): void {
    const at = this.#step(1);
    this.#bytes.writeUInt8(value, at);
  }

  u16(value: number): void {
    const at = this.#step(2);
    this.#bytes.writeUInt16LE(value, at);
  }

  u32(value: number): void {
    const at = this.#step(4);
    this.#bytes.writeUInt32LE(value, at);
  }

  u48(value: number): void {
    const at = this.#step(6);
    this.#bytes.writeUIntLE(value, at, 6);
  }

  text(value: string): void {
    const at = this.#step(Buffer.byteLength(value));
    this.#bytes.write(value, at, 'utf8');
  }

  digest(digest: Digest): void {
    const at = this.#step(32);
    this.#bytes.write(digest, at, 'hex');
  }

  /** Where so many more go. Before the buffer is looked at: there may be another one then. */
  #step(length: number): number {
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#at, 2 * this.#bytes.length));
      this.#bytes.copy(larger, 0, 0, start);
      this.#bytes = larger;
    }
    return start;
  }
}

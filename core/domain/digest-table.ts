/** What digest sets and maps are made of: keys one after another in buffers, no objects. */

import type { Digest } from './manifest.ts';

export const DIGEST_BYTES = 32;
/** A table of many grows in as many small steps: never are there two copies of all of it at a time. */
const SEGMENTS = 64;
const FIRST_SLOTS = 16;
/** At most three quarters full; grown by half, so never less than half full for long. */
const FULLEST = 3 / 4;
const GROWTH = 1.5;

/** Numbers beside the keys; 0 is a free slot. */
type Numbers = Uint8Array | Uint32Array;

/** Digest → a number above 0. Nothing is ever removed. 45 to 66 bytes each with one byte of number, 3 to 6 more with four. */
export class DigestTable {
  readonly #segments: readonly Segment[];
  #size = 0;

  /** `numbers`: makes room for a segment's numbers, all of them 0. */
  constructor(numbers: (slots: number) => Numbers) {
    this.#segments = Array.from({ length: SEGMENTS }, () => new Segment(numbers));
  }

  get size(): number {
    return this.#size;
  }

  /** Memory held, bytes. */
  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  /** 0 when it is not there. */
  get(digest: Digest): number {
    const key = Buffer.from(digest, 'hex');
    return this.#segmentOf(key).get(key);
  }

  put(digest: Digest, number: number): void {
    const key = Buffer.from(digest, 'hex');
    if (this.#segmentOf(key).put(key, number)) this.#size += 1;
  }

  /** Sets these bits of its number, beside those that are set. */
  mark(digest: Digest, bits: number): void {
    const key = Buffer.from(digest, 'hex');
    if (this.#segmentOf(key).mark(key, bits)) this.#size += 1;
  }

  /** All of them, in no order that means anything. */
  *digests(): Generator<Digest> {
    for (const segment of this.#segments) yield* segment.digests();
  }

  #segmentOf(key: Buffer): Segment {
    return this.#segments[(key[DIGEST_BYTES - 1] as number) % SEGMENTS] as Segment;
  }
}

/** Open addressing. */
class Segment {
  readonly #numbersFor: (slots: number) => Numbers;
  #slots = FIRST_SLOTS;
  #keys: Buffer;
  #numbers: Numbers;
  #size = 0;

  constructor(numbers: (slots: number) => Numbers) {
    this.#numbersFor = numbers;
    this.#keys = Buffer.alloc(this.#slots * DIGEST_BYTES);
    this.#numbers = numbers(this.#slots);
  }

  get bytes(): number {
    return this.#keys.length + this.#numbers.byteLength;
  }

  get(key: Buffer): number {
    return this.#numbers[this.#find(key)] as number;
  }

  /** Is it new? */
  put(key: Buffer, number: number): boolean {
    return this.#set(this.#find(key), key, number);
  }

  /** Is it new? */
  mark(key: Buffer, bits: number): boolean {
    const slot = this.#find(key);
    return this.#set(slot, key, (this.#numbers[slot] as number) | bits);
  }

  #set(slot: number, key: Buffer, number: number): boolean {
    const isNew = this.#numbers[slot] === 0;
    if (isNew) key.copy(this.#keys, slot * DIGEST_BYTES);
    this.#numbers[slot] = number;
    if (isNew && ++this.#size > this.#slots * FULLEST) this.#grow();
    return isNew;
  }

  *digests(): Generator<Digest> {
    for (let slot = 0; slot < this.#slots; slot++) {
      const at = slot * DIGEST_BYTES;
      if (this.#numbers[slot] !== 0) yield this.#keys.toString('hex', at, at + DIGEST_BYTES);
    }
  }

  /** The slot that holds `key`, or the free one where it belongs. Digests are uniform: no hashing needed. */
  #find(key: Buffer): number {
    let slot = key.readUInt32LE(0) % this.#slots;
    while (this.#numbers[slot] !== 0) {
      const at = slot * DIGEST_BYTES;
      if (this.#keys.compare(key, 0, DIGEST_BYTES, at, at + DIGEST_BYTES) === 0) return slot;
      slot = slot + 1 === this.#slots ? 0 : slot + 1;
    }
    return slot;
  }

  #grow(): void {
    const [keys, numbers, slots] = [this.#keys, this.#numbers, this.#slots];
    this.#slots = Math.ceil(slots * GROWTH);
    this.#keys = Buffer.alloc(this.#slots * DIGEST_BYTES);
    this.#numbers = this.#numbersFor(this.#slots);
    for (let slot = 0; slot < slots; slot++) {
      const number = numbers[slot] as number;
      if (number === 0) continue;
      const key = keys.subarray(slot * DIGEST_BYTES, (slot + 1) * DIGEST_BYTES);
      const place = this.#find(key);
      key.copy(this.#keys, place * DIGEST_BYTES);
      this.#numbers[place] = number;
    }
  }
}

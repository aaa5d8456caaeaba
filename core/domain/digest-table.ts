/** What digest sets and maps are made of: keys one after another in buffers, no objects. */

import type { Digest } from './manifest.ts';

export const DIGEST_BYTES = 32;
/** 32-bit words of a digest. */
const WORDS = DIGEST_BYTES / 4;
/** The places of many are kept in parts, each of which grows by itself: never are there two copies of all of them at a time. */
const SEGMENTS = 16;
const FIRST_SLOTS = 16;
/** At most three quarters full; grown by half, so never less than half full for long. */
const FULLEST = 3 / 4;
const GROWTH = 1.5;
/** Keys of a block, as a power of two: 256 KiB, which the system gives and takes back by itself. */
const BLOCK_BITS = 13;
const BLOCK_KEYS = 2 ** BLOCK_BITS;
/** Room in the first block of a table; few digests take little. */
const FIRST_KEYS = 64;

/** 16-bit pieces of a digest. */
const PIECES = 2 * WORDS;
/** Of this process alone: whoever sends digests cannot choose such as share a place. */
const SECRETS = crypto.getRandomValues(new Int32Array(2 * PIECES));

/** Numbers beside the keys. */
type Numbers = Uint8Array | Uint32Array;

/** Digest → a number above 0. Nothing is ever removed. 38 to 41 bytes each with one byte of number, 3 more with four. */
export class DigestTable {
  readonly #entries: Entries;
  readonly #segments: readonly Segment[];
  /** The key that is looked for: a buffer for each would be more garbage than all that is kept. */
  readonly #key = new Uint32Array(WORDS);
  readonly #keyBytes = Buffer.from(this.#key.buffer);

  /** `numbers`: makes room for so many numbers, all of them 0. */
  constructor(numbers: (count: number) => Numbers) {
    const entries = new Entries(numbers);
    this.#entries = entries;
    this.#segments = Array.from({ length: SEGMENTS }, () => new Segment(entries));
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Memory held, bytes. */
  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, this.#entries.bytes);
  }

  /** 0 when it is not there. */
  get(digest: Digest): number {
    const entry = this.#segmentOf(digest).find(this.#key);
    return entry < 0 ? 0 : this.#entries.numberOf(entry);
  }

  put(digest: Digest, number: number): void {
    this.#entries.setNumber(this.#segmentOf(digest).findOrAdd(this.#key), number);
  }

  /** Sets these bits of its number, beside those that are set. */
  mark(digest: Digest, bits: number): void {
    const entry = this.#segmentOf(digest).findOrAdd(this.#key);
    this.#entries.setNumber(entry, this.#entries.numberOf(entry) | bits);
  }

  /** All of them, in the order in which they came. */
  *digests(): Generator<Digest> {
    for (let entry = 0; entry < this.#entries.size; entry++) yield this.#entries.digestOf(entry);
  }

  /** Where the digest belongs; it is the key from then on. */
  #segmentOf(digest: Digest): Segment {
    if (this.#keyBytes.write(digest, 'hex') !== DIGEST_BYTES) throw new TypeError('this is no digest');
    return this.#segments[(this.#keyBytes[DIGEST_BYTES - 1] as number) % SEGMENTS] as Segment;
  }
}

/** Keys and their numbers, in blocks that stay where they are. */
class Entries {
  readonly #numbersFor: (count: number) => Numbers;
  readonly #keys: Uint32Array<ArrayBuffer>[] = [];
  readonly #numbers: Numbers[] = [];
  #room = 0;
  size = 0;

  constructor(numbers: (count: number) => Numbers) {
    this.#numbersFor = numbers;
  }

  get bytes(): number {
    const sum = (blocks: readonly Numbers[]) => blocks.reduce((total, block) => total + block.byteLength, 0);
    return sum(this.#keys) + sum(this.#numbers);
  }

  add(key: Uint32Array): number {
    if (this.size === this.#room) this.#grow();
    const entry = this.size++;
    this.#blockOf(entry).set(key, (entry % BLOCK_KEYS) * WORDS);
    return entry;
  }

  isKey(entry: number, key: Uint32Array): boolean {
    const block = this.#blockOf(entry);
    const at = (entry % BLOCK_KEYS) * WORDS;
    for (let word = 0; word < WORDS; word++) if (block[at + word] !== key[word]) return false;
    return true;
  }

  hashOf(entry: number): number {
    return hashOf(this.#blockOf(entry), (entry % BLOCK_KEYS) * WORDS);
  }

  numberOf(entry: number): number {
    return (this.#numbers[entry >>> BLOCK_BITS] as Numbers)[entry % BLOCK_KEYS] as number;
  }

  setNumber(entry: number, number: number): void {
    (this.#numbers[entry >>> BLOCK_BITS] as Numbers)[entry % BLOCK_KEYS] = number;
  }

  digestOf(entry: number): Digest {
    const { buffer } = this.#blockOf(entry);
    return Buffer.from(buffer, (entry % BLOCK_KEYS) * DIGEST_BYTES, DIGEST_BYTES).toString('hex');
  }

  #blockOf(entry: number): Uint32Array<ArrayBuffer> {
    return this.#keys[entry >>> BLOCK_BITS] as Uint32Array<ArrayBuffer>;
  }

  /** One more block; before there is a whole one, the first grows to twice its length. */
  #grow(): void {
    const isFirst = this.#room < BLOCK_KEYS;
    const count = isFirst ? Math.max(FIRST_KEYS, 2 * this.#room) : BLOCK_KEYS;
    const [keys, numbers] = [new Uint32Array(count * WORDS), this.#numbersFor(count)];
    this.#room = isFirst ? count : this.#room + count;
    if (isFirst) {
      keys.set(this.#keys.pop() ?? []);
      numbers.set(this.#numbers.pop() ?? []);
    }
    this.#keys.push(keys);
    this.#numbers.push(numbers);
  }
}

/**
 * Where a key belongs, 32 bits: twice the high half of a sum of products of its 16-bit pieces and secret words (multilinear
 * hashing; Lemire and Kaser, The Computer Journal 57, 2014). Digests are uniform, but what a machine sends as such need not be
 * one, and many at one place take quadratic time. Exported for tests.
 */
export function hashOf(words: Uint32Array, at: number): number {
  let [low, high] = [0, 0];
  for (let piece = 0; piece < PIECES; piece += 2) {
    const word = words[at + (piece >>> 1)] as number;
    const [first, second] = [word & 0xffff, word >>> 16];
    low += Math.imul(SECRETS[piece] as number, first) + Math.imul(SECRETS[piece + 1] as number, second);
    high +=
      Math.imul(SECRETS[PIECES + piece] as number, first) +
      Math.imul(SECRETS[PIECES + piece + 1] as number, second);
  }
  return ((high & 0xffff0000) | ((low | 0) >>> 16)) >>> 0;
}

/** Open addressing: for each slot the entry in it and one, or 0. */
class Segment {
  readonly #entries: Entries;
  #slots = new Uint32Array(FIRST_SLOTS);
  #size = 0;

  constructor(entries: Entries) {
    this.#entries = entries;
  }

  get bytes(): number {
    return this.#slots.byteLength;
  }

  /** The entry of this key; below 0 when there is none. */
  find(key: Uint32Array): number {
    return (this.#slots[this.#slotOf(key)] as number) - 1;
  }

  findOrAdd(key: Uint32Array): number {
    const slot = this.#slotOf(key);
    const found = this.#slots[slot] as number;
    if (found > 0) return found - 1;
    const entry = this.#entries.add(key);
    this.#slots[slot] = entry + 1;
    if (++this.#size > this.#slots.length * FULLEST) this.#grow();
    return entry;
  }

  /** The slot that holds `key`, or the free one where it belongs. */
  #slotOf(key: Uint32Array): number {
    const slots = this.#slots;
    let slot = hashOf(key, 0) % slots.length;
    for (let held = slots[slot] as number; held > 0; held = slots[slot] as number) {
      if (this.#entries.isKey(held - 1, key)) break;
      slot = slot + 1 === slots.length ? 0 : slot + 1;
    }
    return slot;
  }

  #grow(): void {
    const old = this.#slots;
    const slots = new Uint32Array(Math.ceil(old.length * GROWTH));
    for (const held of old) {
      if (held === 0) continue;
      let slot = this.#entries.hashOf(held - 1) % slots.length;
      while (slots[slot] !== 0) slot = slot + 1 === slots.length ? 0 : slot + 1;
      slots[slot] = held;
    }
    this.#slots = slots;
    // Not left to the collector: all segments grow at about the same time.
    old.buffer.transfer(0);
  }
}

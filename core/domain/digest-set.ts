/** Many digests in little memory: about 48 bytes each instead of the hundreds of a Set of strings. */

import type { Digest } from './manifest.ts';

export const DIGEST_BYTES = 32;
const FIRST_SLOTS = 1024;

/** Hex → 32 bytes. */
export function digestBytes(digest: Digest): Buffer {
  return Buffer.from(digest, 'hex');
}

/** Digests one after another in one buffer. */
export function packDigests(digests: readonly Digest[]): Buffer {
  return Buffer.from(digests.join(''), 'hex');
}

/** The reverse of {@link packDigests}; undefined unless the length is a multiple of 32. */
export function unpackDigests(bytes: Uint8Array): Digest[] | undefined {
  if (bytes.length % DIGEST_BYTES !== 0) return undefined;
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
  const digests: Digest[] = [];
  for (let at = 0; at < hex.length; at += 2 * DIGEST_BYTES)
    digests.push(hex.slice(at, at + 2 * DIGEST_BYTES));
  return digests;
}

/** A set of digests; open addressing over one buffer, at most three quarters full. */
export class DigestSet {
  #slots: number;
  #table: Buffer;
  #used: Uint8Array;
  #size = 0;

  /** Room for `expected` digests is made at once; more make it grow, for which both tables are held a moment. */
  constructor(expected = 0) {
    this.#slots = Math.max(FIRST_SLOTS, Math.ceil((expected * 4) / 3) + 1);
    this.#table = Buffer.alloc(this.#slots * DIGEST_BYTES);
    this.#used = new Uint8Array(this.#slots);
  }

  get size(): number {
    return this.#size;
  }

  /** Memory held, bytes. */
  get bytes(): number {
    return this.#table.length + this.#used.length;
  }

  has(digest: Digest): boolean {
    const key = digestBytes(digest);
    return this.#used[this.#find(key)] === 1;
  }

  /** All of them, in no order that means anything. */
  *digests(): Generator<Digest> {
    for (let slot = 0; slot < this.#slots; slot++) {
      const at = slot * DIGEST_BYTES;
      if (this.#used[slot] === 1) yield this.#table.toString('hex', at, at + DIGEST_BYTES);
    }
  }

  add(digest: Digest): void {
    this.#insert(digestBytes(digest));
    if (this.#size * 4 > this.#slots * 3) this.#grow();
  }

  #insert(key: Buffer): void {
    const slot = this.#find(key);
    if (this.#used[slot] === 1) return;
    key.copy(this.#table, slot * DIGEST_BYTES);
    this.#used[slot] = 1;
    this.#size += 1;
  }

  /** The slot that holds `key`, or the free one where it belongs. Digests are uniform: no hashing needed. */
  #find(key: Buffer): number {
    let slot = key.readUInt32LE(0) % this.#slots;
    while (this.#used[slot] === 1) {
      const at = slot * DIGEST_BYTES;
      if (this.#table.compare(key, 0, DIGEST_BYTES, at, at + DIGEST_BYTES) === 0) return slot;
      slot = slot + 1 === this.#slots ? 0 : slot + 1;
    }
    return slot;
  }

  #grow(): void {
    const [table, used, slots] = [this.#table, this.#used, this.#slots];
    this.#slots = slots * 2;
    this.#table = Buffer.alloc(this.#slots * DIGEST_BYTES);
    this.#used = new Uint8Array(this.#slots);
    this.#size = 0;
    for (let slot = 0; slot < slots; slot++) {
      if (used[slot] === 1) this.#insert(table.subarray(slot * DIGEST_BYTES, (slot + 1) * DIGEST_BYTES));
    }
  }
}

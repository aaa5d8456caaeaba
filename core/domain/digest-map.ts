import { DIGEST_BYTES, digestBytes } from './digest-set.ts';
import type { Digest } from './manifest.ts';

const FIRST_SLOTS = 1024;

/** Digest → a whole number from 0 to 2³² − 2, in about 50 bytes each. Nothing is ever removed. */
export class DigestMap {
  #slots: number;
  #keys: Buffer;
  /** The value and one; 0 is a free slot. */
  #values: Uint32Array;
  #size = 0;

  /** Room for `expected` digests is made at once; more make it grow, for which both tables are held a moment. */
  constructor(expected = 0) {
    this.#slots = Math.max(FIRST_SLOTS, Math.ceil((expected * 4) / 3) + 1);
    this.#keys = Buffer.alloc(this.#slots * DIGEST_BYTES);
    this.#values = new Uint32Array(this.#slots);
  }

  get size(): number {
    return this.#size;
  }

  get(digest: Digest): number | undefined {
    const value = this.#values[this.#find(digestBytes(digest))] as number;
    return value === 0 ? undefined : value - 1;
  }

  set(digest: Digest, value: number): void {
    this.#put(digestBytes(digest), value + 1);
    if (this.#size * 4 > this.#slots * 3) this.#grow();
  }

  #put(key: Buffer, stored: number): void {
    const slot = this.#find(key);
    if (this.#values[slot] === 0) {
      key.copy(this.#keys, slot * DIGEST_BYTES);
      this.#size += 1;
    }
    this.#values[slot] = stored;
  }

  /** The slot that holds `key`, or the free one where it belongs. */
  #find(key: Buffer): number {
    let slot = key.readUInt32LE(0) % this.#slots;
    while (this.#values[slot] !== 0) {
      const at = slot * DIGEST_BYTES;
      if (this.#keys.compare(key, 0, DIGEST_BYTES, at, at + DIGEST_BYTES) === 0) return slot;
      slot = slot + 1 === this.#slots ? 0 : slot + 1;
    }
    return slot;
  }

  #grow(): void {
    const [keys, values, slots] = [this.#keys, this.#values, this.#slots];
    this.#slots = slots * 2;
    this.#keys = Buffer.alloc(this.#slots * DIGEST_BYTES);
    this.#values = new Uint32Array(this.#slots);
    this.#size = 0;
    for (let slot = 0; slot < slots; slot++) {
      const stored = values[slot] as number;
      if (stored !== 0) this.#put(keys.subarray(slot * DIGEST_BYTES, (slot + 1) * DIGEST_BYTES), stored);
    }
  }
}

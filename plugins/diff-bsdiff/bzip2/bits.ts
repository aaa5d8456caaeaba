/** Bits, most significant first. */

/** Collects bits; grows by doubling. */
export class BitWriter {
  #bytes = new Uint8Array(64 * 1024);
  #length = 0;
  #held = 0;
  #heldBits = 0;

  /** `count` up to 24. */
  put(count: number, value: number): void {
    this.#held = (this.#held << count) | value;
    this.#heldBits += count;
    while (this.#heldBits >= 8) {
      this.#heldBits -= 8;
      this.#byte((this.#held >>> this.#heldBits) & 255);
    }
    this.#held &= (1 << this.#heldBits) - 1;
  }

  put32(value: number): void {
    this.put(16, value >>> 16);
    this.put(16, value & 0xffff);
  }

  put48(value: number): void {
    this.put(24, Math.floor(value / 2 ** 24));
    this.put(24, value % 2 ** 24);
  }

  /** All bytes, the last filled up with zero bits. */
  finish(): Uint8Array {
    if (this.#heldBits > 0) this.put(8 - this.#heldBits, 0);
    return this.#bytes.slice(0, this.#length);
  }

  #byte(value: number): void {
    if (this.#length === this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#bytes.length);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes[this.#length++] = value;
  }
}

/** Thrown where the bytes at hand end. */
export class OutOfBits extends Error {}

/** Reads bits of a byte array. */
export class BitReader {
  readonly #bytes: Uint8Array;
  #at: number;
  #held = 0;
  #heldBits = 0;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** `count` up to 24. Throws OutOfBits. */
  get(count: number): number {
    while (this.#heldBits < count) {
      if (this.#at === this.#bytes.length) throw new OutOfBits('the bits end');
      this.#held = ((this.#held << 8) | (this.#bytes[this.#at++] as number)) & 0xffffffff;
      this.#heldBits += 8;
    }
    this.#heldBits -= count;
    return (this.#held >>> this.#heldBits) & ((1 << count) - 1);
  }

  bit(): boolean {
    return this.get(1) === 1;
  }

  get32(): number {
    return (this.get(16) << 16) | this.get(16);
  }

  get48(): number {
    return this.get(24) * 2 ** 24 + this.get(24);
  }

  /** Bytes used so far, a begun one counted as whole. */
  get usedBytes(): number {
    return this.#at - (this.#heldBits >> 3);
  }

  /** Bits of the begun byte that are used: 0 to 7. */
  get usedBits(): number {
    return (8 - (this.#heldBits & 7)) & 7;
  }
}

/** Weak sums of a stretch's every tail, for blocks whose length nobody noted. */

import type { WeakKind } from './format.ts';
import { RABINKARP_MULT, RABINKARP_SEED, ROLLSUM_OFFSET } from './weak-sum.ts';

/** Lengths up to `most`, shortest first, of the tails of `bytes` before `end` whose weak sum is `wanted`. */
export function* tailLengths(
  kind: WeakKind,
  bytes: Uint8Array,
  end: number,
  most: number,
  wanted: number,
): Generator<number> {
  const tail = kind === 'rabinkarp' ? new RabinKarpTail() : new RollsumTail();
  for (let length = 1; length <= most; length++) {
    if (tail.grow(bytes[end - length] as number) === wanted) yield length;
  }
}

/** Both give the checksum after one more byte at the front, unsigned. */
class RabinKarpTail {
  #content = 0;
  #power = 1;

  grow(byte: number): number {
    this.#content = (this.#content + Math.imul(byte, this.#power)) | 0;
    this.#power = Math.imul(this.#power, RABINKARP_MULT);
    return (this.#content + Math.imul(RABINKARP_SEED, this.#power)) >>> 0;
  }
}

class RollsumTail {
  #s1 = 0;
  #s2 = 0;
  #length = 0;

  grow(byte: number): number {
    this.#length++;
    this.#s1 = (this.#s1 + byte + ROLLSUM_OFFSET) & 0xffff;
    this.#s2 = (this.#s2 + this.#length * (byte + ROLLSUM_OFFSET)) & 0xffff;
    return ((this.#s2 << 16) | this.#s1) >>> 0;
  }
}

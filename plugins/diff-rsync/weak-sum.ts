/** The two rolling checksums of librsync (`rabinkarp.h`, `rollsum.h`), 32 bits each. */

import type { WeakKind } from './format.ts';

/** A window of fixed length that slides over a buffer and keeps its checksum. */
export interface Roller {
  /** Checksum of the present window, unsigned. */
  readonly sum: number;
  /** Puts the window at `from`. */
  start(bytes: Uint8Array, from: number): void;
  /**
   * Slides the window from `position` by at least one byte, until `filter` knows its sum or it stands at `last`;
   * returns where it stands. The caller guarantees `position < last` and that `last + window` bytes exist.
   */
  next(bytes: Uint8Array, position: number, last: number, filter: SumFilter): number;
}

/** A Bloom filter of 2^(32 - shift) bits, two for each known sum: cheap proof that a sum is unknown. */
export interface SumFilter {
  readonly bits: Uint8Array;
  readonly shift: number;
}

/** They spread sums whose low bits say little over the whole word; {@link SumFilter} takes the top bits. */
const FIRST_MULTIPLIER = 0x9e3779b1;
const SECOND_MULTIPLIER = 0xc2b2ae3d;

/** The two bits of a sum. */
export function filterBits(sum: number, shift: number): readonly [number, number] {
  return [Math.imul(sum, FIRST_MULTIPLIER) >>> shift, Math.imul(sum, SECOND_MULTIPLIER) >>> shift];
}

/** False: certainly unknown. Small enough to be inlined in the loops below, which run once a byte. */
function passes(bits: Uint8Array, shift: number, sum: number): boolean {
  const first = Math.imul(sum, FIRST_MULTIPLIER) >>> shift;
  if (((bits[first >>> 3] as number) & (1 << (first & 7))) === 0) return false;
  const second = Math.imul(sum, SECOND_MULTIPLIER) >>> shift;
  return ((bits[second >>> 3] as number) & (1 << (second & 7))) !== 0;
}

/** Constants of the two sums. */
export const RABINKARP_SEED = 1;
export const RABINKARP_MULT = 0x08104225;
const RABINKARP_ADJUST = RABINKARP_MULT - 1;
export const ROLLSUM_OFFSET = 31;

/** Checksum of `length` bytes from `from`, as librsync stores it. */
export function weakSum(kind: WeakKind, bytes: Uint8Array, from: number, length: number): number {
  return kind === 'rabinkarp' ? rabinkarp(bytes, from, length) : rollsum(bytes, from, length);
}

export function createRoller(kind: WeakKind, windowBytes: number): Roller {
  return kind === 'rabinkarp' ? new RabinKarpRoller(windowBytes) : new RollsumRoller(windowBytes);
}

/** MULT to the power of 1 to 8. */
const P1 = RABINKARP_MULT;
const P2 = Math.imul(P1, P1);
const P3 = Math.imul(P2, P1);
const P4 = Math.imul(P3, P1);
const P5 = Math.imul(P4, P1);
const P6 = Math.imul(P5, P1);
const P7 = Math.imul(P6, P1);
const P8 = Math.imul(P7, P1);

/** Eight bytes a step, whose products do not wait for each other: nearly twice as fast as byte by byte. */
function rabinkarp(bytes: Uint8Array, from: number, length: number): number {
  const end = from + length;
  let hash = RABINKARP_SEED;
  let i = from;
  for (; i + 8 <= end; i += 8) {
    const first = (Math.imul(byte(bytes, i), P7) + Math.imul(byte(bytes, i + 1), P6)) | 0;
    const second = (Math.imul(byte(bytes, i + 2), P5) + Math.imul(byte(bytes, i + 3), P4)) | 0;
    const third = (Math.imul(byte(bytes, i + 4), P3) + Math.imul(byte(bytes, i + 5), P2)) | 0;
    const fourth = (Math.imul(byte(bytes, i + 6), P1) + byte(bytes, i + 7)) | 0;
    hash = (Math.imul(hash, P8) + ((((first + second) | 0) + ((third + fourth) | 0)) | 0)) | 0;
  }
  for (; i < end; i++) hash = (Math.imul(hash, P1) + byte(bytes, i)) | 0;
  return hash >>> 0;
}

function rollsum(bytes: Uint8Array, from: number, length: number): number {
  let s1 = 0;
  let s2 = 0;
  for (let i = from; i < from + length; i++) {
    s1 = (s1 + byte(bytes, i) + ROLLSUM_OFFSET) & 0xffff;
    s2 = (s2 + s1) & 0xffff;
  }
  return ((s2 << 16) | s1) >>> 0;
}

class RabinKarpRoller implements Roller {
  readonly #window: number;
  readonly #power: number;
  #hash = 0;

  constructor(windowBytes: number) {
    this.#window = windowBytes;
    let power = 1;
    for (let i = 0; i < windowBytes; i++) power = Math.imul(power, RABINKARP_MULT);
    this.#power = power;
  }

  get sum(): number {
    return this.#hash >>> 0;
  }

  start(bytes: Uint8Array, from: number): void {
    this.#hash = rabinkarp(bytes, from, this.#window);
  }

  next(bytes: Uint8Array, position: number, last: number, filter: SumFilter): number {
    const { bits, shift } = filter;
    const window = this.#window;
    const power = this.#power;
    let hash = this.#hash;
    let at = position;
    do {
      const leaving = Math.imul(power, byte(bytes, at) + RABINKARP_ADJUST);
      hash = (Math.imul(hash, RABINKARP_MULT) + byte(bytes, at + window) - leaving) | 0;
      at++;
    } while (at < last && !passes(bits, shift, hash));
    this.#hash = hash;
    return at;
  }
}

class RollsumRoller implements Roller {
  readonly #window: number;
  #s1 = 0;
  #s2 = 0;

  constructor(windowBytes: number) {
    this.#window = windowBytes;
  }

  get sum(): number {
    return ((this.#s2 << 16) | this.#s1) >>> 0;
  }

  start(bytes: Uint8Array, from: number): void {
    const sum = rollsum(bytes, from, this.#window);
    this.#s1 = sum & 0xffff;
    this.#s2 = sum >>> 16;
  }

  next(bytes: Uint8Array, position: number, last: number, filter: SumFilter): number {
    const { bits, shift } = filter;
    const window = this.#window;
    let s1 = this.#s1;
    let s2 = this.#s2;
    let at = position;
    do {
      const out = byte(bytes, at);
      s1 = (s1 + byte(bytes, at + window) - out) & 0xffff;
      s2 = (s2 + s1 - Math.imul(window, out + ROLLSUM_OFFSET)) & 0xffff;
      at++;
    } while (at < last && !passes(bits, shift, (s2 << 16) | s1));
    this.#s1 = s1;
    this.#s2 = s2;
    return at;
  }
}

/** Indexing that the callers have bounded already. */
function byte(bytes: Uint8Array, index: number): number {
  return bytes[index] as number;
}

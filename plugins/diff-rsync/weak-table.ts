/** Weak sum → block number, in typed arrays: about 8 bytes a block besides the sums. */

import { filterBits, type SumFilter } from './weak-sum.ts';

/** Neighbours in the table, past which a hostile signature is no longer followed; honest ones stay below. */
const MAX_PROBES = 256;
const LOAD = 0.72;
const GROWTH = 1.5;
const MIN_FILTER_BITS = 10;

/** Decides whether two blocks of equal weak sum are the same content. */
export type SameBlock = (known: number, added: number) => boolean;

/** Grows by appending; blocks are numbered in order of `add`. Duplicates stay reachable by number only. */
export class WeakTable {
  #sums: Uint32Array;
  #slots: Uint32Array;
  #filter: Uint8Array;
  #shift: number;
  #count = 0;
  readonly #same: SameBlock;

  constructor(same: SameBlock) {
    this.#same = same;
    this.#sums = new Uint32Array(0);
    this.#slots = new Uint32Array(1);
    this.#shift = 32 - MIN_FILTER_BITS;
    this.#filter = new Uint8Array(2 ** (MIN_FILTER_BITS - 3));
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#sums.byteLength + this.#slots.byteLength + this.#filter.byteLength;
  }

  get filter(): SumFilter {
    return { bits: this.#filter, shift: this.#shift };
  }

  sumOf(block: number): number {
    return this.#sums[block] as number;
  }

  /** Makes room for `blocks` in all, so that the following `add` calls never rebuild the table. */
  reserve(blocks: number): void {
    if (blocks <= this.#sums.length) return;
    const capacity = this.#count === 0 ? blocks : Math.max(blocks, Math.ceil(this.#count * GROWTH));
    const sums = new Uint32Array(capacity);
    sums.set(this.#sums.subarray(0, this.#count));
    this.#sums = sums;
    this.#slots = new Uint32Array(Math.ceil(capacity / LOAD) + 1);
    const bits = Math.max(MIN_FILTER_BITS, Math.min(31, Math.ceil(Math.log2(capacity * 12))));
    this.#filter = new Uint8Array(2 ** (bits - 3));
    this.#shift = 32 - bits;
    for (let block = 0; block < this.#count; block++) this.#insert(block);
  }

  /** Adds the next block; what `SameBlock` compares must be in place already. */
  add(sum: number): void {
    this.reserve(this.#count + 1);
    this.#sums[this.#count] = sum;
    this.#insert(this.#count++);
  }

  /** Whether any block of this sum can be found. */
  has(sum: number): boolean {
    return this.find(sum, anyBlock) >= 0;
  }

  /** First block of this sum that `matches` accepts, or -1. */
  find(sum: number, matches: (block: number) => boolean): number {
    const slots = this.#slots;
    let slot = firstSlot(sum, slots.length);
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const held = slots[slot] as number;
      if (held === 0) return -1;
      if (this.#sums[held - 1] === sum && matches(held - 1)) return held - 1;
      slot = slot + 1 === slots.length ? 0 : slot + 1;
    }
    return -1;
  }

  #insert(block: number): void {
    const sum = this.#sums[block] as number;
    const slots = this.#slots;
    let slot = firstSlot(sum, slots.length);
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const held = slots[slot] as number;
      if (held === 0) {
        slots[slot] = block + 1;
        for (const bit of filterBits(sum, this.#shift)) {
          this.#filter[bit >>> 3] = (this.#filter[bit >>> 3] as number) | (1 << (bit & 7));
        }
        return;
      }
      if (this.#sums[held - 1] === sum && this.#same(held - 1, block)) return;
      slot = slot + 1 === slots.length ? 0 : slot + 1;
    }
  }
}

function anyBlock(): boolean {
  return true;
}

function firstSlot(sum: number, slots: number): number {
  // MurmurHash3's finaliser: neighbouring sums must not become neighbouring slots.
  let mixed = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return Math.floor(((mixed ^ (mixed >>> 16)) >>> 0) * (slots / 4294967296));
}

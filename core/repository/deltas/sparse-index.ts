/**
 * Which earlier chunk holds what a chunk holds: a sample of places that content itself picks, so that equal stretches are
 * sampled alike wherever they lie ("Sparse Indexing", Lillibridge et al., FAST 2009, with single places instead of segments'
 * chunks). Memory is fixed: what is sampled last takes the place of what was sampled first.
 */

import { randomWords } from './resemblance.ts';

/** One place in 4096: twelve high bits of a gear hash, where it has seen the most bytes. The top one is left out for the shifted test. */
const ANCHOR_MASK = 0x7ff80000;
const GEAR = randomWords(256, 0x0a4c0a4c);
const GEAR_SHIFTED = GEAR.map((word) => word << 1);
/** An anchor is known by so many bytes in front of it: a hash with twelve bits fixed would tell too few apart. */
const KNOWN_BY_BYTES = 64;
/** Anchors of one chunk at most: four times what 8 MiB have. Only runs of one pattern have more, and those need no base. */
const MAX_ANCHORS = 8192;

/** Places in the table: with one anchor in 4 KiB, 4 GiB of contents. Two words each. */
const SLOTS = 1 << 20;
/** Owners that are told apart: as many as chunks of 64 KiB have that many anchors. */
const OWNERS = 1 << 16;

const found = new Int32Array(MAX_ANCHORS);

/** The anchors of a chunk, each once, as 32-bit numbers; 4 KiB of it apart on average. */
export function anchorsOf(bytes: Uint8Array): Int32Array {
  let count = 0;
  let hash = 0;
  const take = (end: number) => {
    if (end >= KNOWN_BY_BYTES) found[count++] = knownAs(bytes, end);
  };
  for (let at = 0; at + 1 < bytes.length && count < MAX_ANCHORS - 1; at += 2) {
    hash = ((hash << 2) + (GEAR_SHIFTED[bytes[at] as number] as number)) | 0;
    if ((hash & (ANCHOR_MASK << 1)) === 0) take(at + 1);
    hash = (hash + (GEAR[bytes[at + 1] as number] as number)) | 0;
    if ((hash & ANCHOR_MASK) === 0) take(at + 2);
  }
  const sorted = found.slice(0, count).sort();
  return sorted.filter((anchor, at) => at === 0 || anchor !== sorted[at - 1]);
}

/** FNV-1a over the bytes in front of `end`, its high bits mixed into the low ones. */
function knownAs(bytes: Uint8Array, end: number): number {
  let word = 0x811c9dc5 | 0;
  for (let at = end - KNOWN_BY_BYTES; at < end; at++) {
    word = Math.imul(word ^ (bytes[at] as number), 0x01000193);
  }
  return word ^ (word >>> 15);
}

/** Anchor → the first owner that had it, 8 MiB of table. `T` is whatever the caller knows of a chunk. */
export class SparseIndex<T> {
  readonly #anchors = new Int32Array(SLOTS);
  /** Number of the owner, from 1; 0 is nobody. */
  readonly #numbers = new Int32Array(SLOTS);
  readonly #owners: T[] = [];
  #count = 0;

  /** The earlier owner of an anchor stays; another anchor at the same place gives way. */
  add(anchors: Int32Array, owner: T): void {
    const number = ++this.#count;
    this.#owners[number % OWNERS] = owner;
    for (const anchor of anchors) {
      if (this.find(anchor) !== undefined) continue;
      const slot = anchor & (SLOTS - 1);
      this.#anchors[slot] = anchor;
      this.#numbers[slot] = number;
    }
  }

  find(anchor: number): T | undefined {
    const slot = anchor & (SLOTS - 1);
    const number = this.#numbers[slot] as number;
    const isKnown = number > 0 && number > this.#count - OWNERS && this.#anchors[slot] === anchor;
    return isKnown ? this.#owners[number % OWNERS] : undefined;
  }
}

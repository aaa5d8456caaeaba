/** Finds in the base what is longest equal to a place of the target. */

import { suffixArray } from './suffix-array.ts';

/** Longer matches are found a stretch at a time: comparing them whole, once a byte, would never end. */
const LONGEST_LOOK = 16 * 1024;
/** After so much comparing, in content that repeats itself, only short stretches are compared. */
const SHORT_LOOK = 32;
const BUDGET_PER_BYTE = 400;
const LEAST_BUDGET = 1e8;

export class BaseSearch {
  readonly #base: Uint8Array;
  readonly #target: Uint8Array;
  readonly #suffixes: Int32Array;
  #budget: number;
  /** Where the last match lies in the base. */
  position = 0;

  constructor(base: Uint8Array, target: Uint8Array) {
    this.#base = base;
    this.#target = target;
    this.#suffixes = suffixArray(base);
    this.#budget = LEAST_BUDGET + BUDGET_PER_BYTE * (base.length + target.length);
  }

  /** Length of the longest match of the target from `at` on; sets `position`. */
  longest(at: number): number {
    const look = this.#budget > 0 ? LONGEST_LOOK : SHORT_LOOK;
    const suffixes = this.#suffixes;
    let low = 0;
    let high = suffixes.length - 1;
    let best = 0;
    let bestAt = 0;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const suffix = suffixes[middle] as number;
      const length = this.#equal(suffix, at, look);
      if (length > best) {
        best = length;
        bestAt = suffix;
        if (length === look) break;
      }
      if (this.#isSmaller(suffix + length, at + length)) low = middle + 1;
      else high = middle - 1;
    }
    this.position = bestAt;
    return best;
  }

  #equal(basePosition: number, targetPosition: number, look: number): number {
    const base = this.#base;
    const target = this.#target;
    const most = Math.min(look, base.length - basePosition, target.length - targetPosition);
    let length = 0;
    while (length < most && base[basePosition + length] === target[targetPosition + length]) length++;
    this.#budget -= length + 1;
    return length;
  }

  /** Whether the base's suffix sorts before the target's, both standing where they first differ. */
  #isSmaller(basePosition: number, targetPosition: number): boolean {
    if (targetPosition >= this.#target.length) return false;
    if (basePosition >= this.#base.length) return true;
    return (this.#base[basePosition] as number) < (this.#target[targetPosition] as number);
  }
}

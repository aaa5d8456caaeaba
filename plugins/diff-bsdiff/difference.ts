/** What of a base a target is made of: Percival's search for regions that are alike rather than equal. */

import type { Triple } from './format.ts';
import { BaseSearch } from './search.ts';

/** A new region must beat going on with the old one by this many bytes. */
const ADVANTAGE = 8;
/** Places between two rests. */
const REST = 8192;

export interface Difference {
  readonly triples: readonly Triple[];
  /** Target minus base, byte by byte, of all regions that are alike. */
  readonly added: Uint8Array;
  readonly inserted: Uint8Array;
}

/** Yields how far in the target it is, some hundred times a second; returns the difference. */
export function* difference(base: Uint8Array, target: Uint8Array): Generator<number, Difference> {
  const out = new Collector(base, target);
  const search = new BaseSearch(base, target);
  /** Where the region that is being written began, in target and base. */
  let lastScan = 0;
  let lastPosition = 0;
  /** Base minus target place of that region. */
  let shift = 0;
  let scan = 0;
  let length = 0;
  let position = 0;
  let rested = 0;
  while (scan < target.length) {
    let equalThere = 0;
    scan += length;
    for (let counted = scan; scan < target.length; scan++) {
      if (scan - rested > REST) {
        rested = scan;
        yield scan;
      }
      length = search.longest(scan);
      position = search.position;
      for (; counted < scan + length; counted++) if (base[counted + shift] === target[counted]) equalThere++;
      if ((length === equalThere && length !== 0) || length > equalThere + ADVANTAGE) break;
      if (base[scan + shift] === target[scan]) equalThere--;
    }
    if (length === equalThere && scan < target.length) continue;
    const forward = alikeForward(base, target, lastPosition, lastScan, scan);
    const backward = scan < target.length ? alikeBackward(base, target, position, scan, lastScan) : 0;
    const cut = divide(base, target, { lastScan, lastPosition, forward, scan, position, backward });
    out.region(lastScan, lastPosition, cut.forward, scan - cut.backward, position - cut.backward);
    lastScan = scan - cut.backward;
    lastPosition = position - cut.backward;
    shift = position - scan;
  }
  return out.finish();
}

/** How far the old region goes on: where equal bytes outweigh others most. */
function alikeForward(
  base: Uint8Array,
  target: Uint8Array,
  position: number,
  scan: number,
  end: number,
): number {
  let equal = 0;
  let best = 0;
  let length = 0;
  for (let i = 0; scan + i < end && position + i < base.length; ) {
    if (base[position + i] === target[scan + i]) equal++;
    i++;
    if (equal * 2 - i <= best * 2 - length) continue;
    best = equal;
    length = i;
  }
  return length;
}

/** How far before its match the new region begins. */
function alikeBackward(
  base: Uint8Array,
  target: Uint8Array,
  position: number,
  scan: number,
  start: number,
): number {
  let equal = 0;
  let best = 0;
  let length = 0;
  for (let i = 1; scan >= start + i && position >= i; i++) {
    if (base[position - i] === target[scan - i]) equal++;
    if (equal * 2 - i <= best * 2 - length) continue;
    best = equal;
    length = i;
  }
  return length;
}

interface Neighbours {
  readonly lastScan: number;
  readonly lastPosition: number;
  readonly forward: number;
  readonly scan: number;
  readonly position: number;
  readonly backward: number;
}

/** Where both regions claim the same bytes, each gets the part it suits better. */
function divide(
  base: Uint8Array,
  target: Uint8Array,
  { lastScan, lastPosition, forward, scan, position, backward }: Neighbours,
): { readonly forward: number; readonly backward: number } {
  const overlap = lastScan + forward - (scan - backward);
  if (overlap <= 0) return { forward, backward };
  let lead = 0;
  let best = 0;
  let length = 0;
  for (let i = 0; i < overlap; i++) {
    const old = forward - overlap + i;
    if (target[lastScan + old] === base[lastPosition + old]) lead++;
    if (target[scan - backward + i] === base[position - backward + i]) lead--;
    if (lead <= best) continue;
    best = lead;
    length = i + 1;
  }
  return { forward: forward + length - overlap, backward: backward - length };
}

class Collector {
  readonly #base: Uint8Array;
  readonly #target: Uint8Array;
  readonly #added: Uint8Array;
  readonly #inserted: Uint8Array;
  readonly #triples: Triple[] = [];
  #addedBytes = 0;
  #insertedBytes = 0;

  constructor(base: Uint8Array, target: Uint8Array) {
    this.#base = base;
    this.#target = target;
    this.#added = new Uint8Array(target.length);
    this.#inserted = new Uint8Array(target.length);
  }

  /** `add` bytes alike from the two places on, then what is new up to `scanEnd`; the next lies at `nextPosition`. */
  region(scan: number, position: number, add: number, scanEnd: number, nextPosition: number): void {
    for (let i = 0; i < add; i++) {
      this.#added[this.#addedBytes++] =
        (this.#target[scan + i] as number) - (this.#base[position + i] as number);
    }
    this.#inserted.set(this.#target.subarray(scan + add, scanEnd), this.#insertedBytes);
    const insert = scanEnd - scan - add;
    this.#insertedBytes += insert;
    this.#triples.push({ add, insert, skip: nextPosition - position - add });
  }

  finish(): Difference {
    return {
      triples: this.#triples,
      added: this.#added.subarray(0, this.#addedBytes),
      inserted: this.#inserted.subarray(0, this.#insertedBytes),
    };
  }
}

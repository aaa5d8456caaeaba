/**
 * Deltas of deltas, put together without making what lies between: a page that changed ten snapshots ago is taken from
 * the delta of that time, all that never changed from the one chunk at the bottom.
 */

import type { DeltaPart } from '../../contracts/delta-codec.ts';
import type { Digest } from '../../domain/manifest.ts';
import type { DeltaForm } from '../packs/pack-format.ts';

/** Parts of one chunk at most: what is in more pieces is not stored as a deep delta. */
export const MAX_PARTS = 65_536;
/** Deltas below one at most, however they branch. */
const MAX_LINKS = 4096;
/** On the way down pages may be out of order that come together again at the bottom. */
const MAX_FRAGMENTS = 4 * MAX_PARTS;

/** Deltas that cannot be put together: they are damaged, of a codec that has no parts, or in too many pieces. */
export class ChainError extends Error {}

/** A delta with placed bases, and what it is. */
export interface ChainLink {
  /** Length of the chunk that it makes. */
  readonly bytes: number;
  readonly delta: DeltaForm;
  /** Asked for once, and only where something of the delta is needed. */
  payload(): Promise<Uint8Array>;
}

/** A part of a chunk, which begins at `at` of it: bytes, or `length` bytes at `offset` of another chunk that is no such delta. */
export type ChainPart =
  | { readonly at: number; readonly length: number; readonly bytes: Uint8Array }
  | { readonly at: number; readonly length: number; readonly base: Digest; readonly offset: number };

export interface ChainSource {
  /** How a base is stored; undefined when it has to be read whole. */
  link(digest: Digest): ChainLink | undefined;
  /** Throws when the payload is no proper delta. */
  parts(link: ChainLink, payload: Uint8Array): readonly DeltaPart[];
}

/** The parts that make the chunk, in order and without gaps. Throws when it is damaged or in too many pieces. */
export async function flatten(top: ChainLink, source: ChainSource): Promise<readonly ChainPart[]> {
  const chain = new Chain(source, top);
  for (let step = chain.next(); step !== undefined; step = chain.next()) {
    const parts = source.parts(step.link, await step.link.payload());
    chain.resolve(step, parts);
  }
  return chain.parts();
}

/** What is still wanted of a link: `length` bytes at `offset` of its chunk belong at `at` of the one at the top. */
class Wanted {
  readonly link: ChainLink;
  readonly at: number[] = [];
  readonly offset: number[] = [];
  readonly length: number[] = [];

  constructor(link: ChainLink) {
    this.link = link;
  }

  /** False when it goes on where the last one ends, and is one with it. */
  add(at: number, offset: number, length: number): boolean {
    const last = this.at.length - 1;
    const before = last < 0 ? 0 : (this.length[last] as number);
    if (last >= 0 && this.at[last] === at - before && this.offset[last] === offset - before) {
      this.length[last] = before + length;
      return false;
    }
    this.at.push(at);
    this.offset.push(offset);
    this.length.push(length);
    return true;
  }
}

/** From the top to the bottom only what no delta has given yet is followed: one that later ones replaced is not read at all. */
class Chain {
  readonly #source: ChainSource;
  readonly #waiting = new Map<Digest | undefined, Wanted>();
  /** By digest: undefined is a chunk that has to be read whole. */
  readonly #links = new Map<Digest, ChainLink | undefined>();
  readonly #found: ChainPart[] = [];
  #deltas = 0;
  #fragments = 1;

  constructor(source: ChainSource, top: ChainLink) {
    this.#source = source;
    const whole = new Wanted(top);
    whole.add(0, 0, top.bytes);
    this.#waiting.set(undefined, whole);
  }

  /** The deepest, of which nothing more can come to be wanted: a base has less depth than what is made from it. */
  next(): Wanted | undefined {
    let found: [Digest | undefined, Wanted] | undefined;
    for (const one of this.#waiting)
      if (found === undefined || one[1].link.delta.depth > found[1].link.delta.depth) found = one;
    if (found !== undefined) this.#waiting.delete(found[0]);
    return found?.[1];
  }

  resolve({ link, at, offset, length }: Wanted, parts: readonly DeltaPart[]): void {
    const starts = startsOf(parts, link.bytes);
    this.#fragments -= at.length;
    for (let range = 0; range < at.length; range++) {
      let from = offset[range] as number;
      const end = from + (length[range] as number);
      const shift = (at[range] as number) - from;
      for (let index = lastAt(starts, (start) => start, from); from < end; index++) {
        const [part, start] = [parts[index], starts[index]];
        const partEnd = part === undefined || start === undefined ? 0 : start + lengthOf(part);
        if (part === undefined || start === undefined || from >= partEnd)
          throw new ChainError('it copies from behind the end of its base');
        const taken = Math.min(end, partEnd) - from;
        if (part.kind === 'literal') this.#literal(part.bytes, from - start, taken, from + shift);
        else this.#copy(link.delta, part.offset + from - start, taken, from + shift);
        from += taken;
      }
    }
  }

  #literal(bytes: Uint8Array, from: number, length: number, at: number): void {
    this.#find({ at, length, bytes: bytes.subarray(from, from + length) });
  }

  /** What lies at `offset` of the space that the delta's bases lie in. */
  #copy({ bases, places = [], depth }: DeltaForm, offset: number, length: number, at: number): void {
    const end = offset + length;
    for (let from = offset, index = lastAt(places, (place) => place.at, offset); from < end; index++) {
      const [place, base] = [places[index], bases[index]];
      if (place === undefined || base === undefined || place.at > from || from >= place.at + place.bytes)
        throw new ChainError('it copies from where no base lies');
      const taken = Math.min(end, place.at + place.bytes) - from;
      this.#want(base, depth, from - place.at, taken, at + from - offset);
      from += taken;
    }
  }

  #want(base: Digest, depth: number, offset: number, length: number, at: number): void {
    const link = this.#linkOf(base);
    // Stored anew since, it may lie as deep as what is made from it: then it is a chunk like any other.
    if (link === undefined || link.delta.depth >= depth) {
      this.#find({ at, length, base, offset });
      return;
    }
    if (offset + length > link.bytes) throw new ChainError('it copies from behind the end of its base');
    const waiting = this.#waiting.get(base) ?? new Wanted(link);
    this.#waiting.set(base, waiting);
    if (waiting.add(at, offset, length)) this.#count();
  }

  #linkOf(digest: Digest): ChainLink | undefined {
    if (this.#links.has(digest)) return this.#links.get(digest);
    const link = this.#source.link(digest);
    this.#links.set(digest, link);
    if (link !== undefined) this.#deltas += 1;
    if (this.#deltas > MAX_LINKS) throw new ChainError(`it is made from more than ${MAX_LINKS} deltas`);
    return link;
  }

  #find(part: ChainPart): void {
    const last = this.#found.at(-1);
    if (last !== undefined && isNext(last, part)) {
      this.#found[this.#found.length - 1] = { ...last, length: last.length + part.length };
      return;
    }
    this.#found.push(part);
    this.#count();
  }

  #count(): void {
    this.#fragments += 1;
    if (this.#fragments > MAX_FRAGMENTS) throw tooMany();
  }

  /** Call it when nothing is waiting. */
  parts(): readonly ChainPart[] {
    const parts: ChainPart[] = [];
    for (const part of this.#found.sort((a, b) => a.at - b.at)) {
      const last = parts.at(-1);
      if (last !== undefined && isNext(last, part))
        parts[parts.length - 1] = { ...last, length: last.length + part.length };
      else parts.push(part);
    }
    if (parts.length > MAX_PARTS) throw tooMany();
    return parts;
  }
}

/** Does it go on in the same base where the other one ends? */
function isNext(before: ChainPart, part: ChainPart): boolean {
  return (
    'base' in before &&
    'base' in part &&
    before.base === part.base &&
    before.offset + before.length === part.offset &&
    before.at + before.length === part.at
  );
}

function tooMany(): ChainError {
  return new ChainError(`it is in more than ${MAX_PARTS} pieces`);
}

function lengthOf(part: DeltaPart): number {
  return part.kind === 'literal' ? part.bytes.length : part.length;
}

/** Where each begins. Throws unless they make so many bytes. */
function startsOf(parts: readonly DeltaPart[], bytes: number): number[] {
  let at = 0;
  const starts = parts.map((part) => {
    at += lengthOf(part);
    return at - lengthOf(part);
  });
  if (at !== bytes) throw new ChainError(`it makes ${at} bytes instead of ${bytes}`);
  return starts;
}

/** The last of ascending numbers that is not above `value`. */
function lastAt<T>(items: readonly T[], numberOf: (item: T) => number, value: number): number {
  let low = 0;
  let high = items.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (numberOf(items[middle] as T) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * Deltas of deltas, put together without making what lies between: a page that changed ten snapshots ago is taken from
 * the delta of that time, all that never changed from the one chunk at the bottom.
 */

import type { DeltaPart } from '../contracts/delta-codec.ts';
import type { Digest } from '../domain/manifest.ts';
import type { DeltaForm } from './pack-format.ts';

/** Parts of one chunk at most: what is in more pieces is not stored as a deep delta. */
export const MAX_PARTS = 65_536;
/** Deltas below one at most, however they branch. */
const MAX_LINKS = 4096;

/** A delta with placed bases, and what it is. */
export interface ChainLink {
  /** Length of the chunk that it makes. */
  readonly bytes: number;
  readonly delta: DeltaForm;
  readonly payload: Uint8Array;
}

/** A part of a chunk: bytes, or `length` bytes at `offset` of another chunk that is no such delta. */
export type ChainPart =
  | { readonly bytes: Uint8Array; readonly length: number }
  | { readonly base: Digest; readonly offset: number; readonly length: number };

export interface ChainSource {
  /** How a base is stored; undefined when it has to be read whole. */
  link(digest: Digest): Promise<ChainLink | undefined>;
  /** Throws when the payload is no proper delta. */
  parts(link: ChainLink): readonly DeltaPart[];
}

interface Flat {
  readonly parts: readonly ChainPart[];
  /** Where each begins. */
  readonly starts: readonly number[];
}

/** The parts that make the chunk, in order; they add up to its length. Throws when it is damaged or in too many pieces. */
export async function flatten(top: ChainLink, source: ChainSource): Promise<readonly ChainPart[]> {
  const links = await linksBelow(top, source);
  const flats = new Map<Digest, Flat>();
  // A base has less depth than what is made from it.
  for (const [digest, link] of [...links].sort(([, a], [, b]) => a.delta.depth - b.delta.depth))
    flats.set(digest, flatOf(link, source, flats));
  return flatOf(top, source, flats).parts;
}

async function linksBelow(top: ChainLink, source: ChainSource): Promise<Map<Digest, ChainLink>> {
  const links = new Map<Digest, ChainLink>();
  const seen = new Set<Digest>();
  const waiting = [...top.delta.bases];
  for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
    if (seen.has(digest)) continue;
    seen.add(digest);
    const link = await source.link(digest);
    if (link === undefined) continue;
    if (links.size >= MAX_LINKS) throw new Error(`it is made from more than ${MAX_LINKS} deltas`);
    links.set(digest, link);
    waiting.push(...link.delta.bases);
  }
  return links;
}

function flatOf(link: ChainLink, source: ChainSource, flats: ReadonlyMap<Digest, Flat>): Flat {
  const out = new Parts();
  for (const part of source.parts(link)) {
    if (part.kind === 'literal') out.add({ bytes: part.bytes, length: part.bytes.length });
    else copy(link.delta, part.offset, part.length, flats, out);
  }
  return out;
}

/** What lies at `offset` of the space that the delta's bases lie in. */
function copy(
  { bases, places = [] }: DeltaForm,
  offset: number,
  length: number,
  flats: ReadonlyMap<Digest, Flat>,
  out: Parts,
): void {
  let at = offset;
  const end = offset + length;
  for (let index = lastAt(places, (place) => place.at, offset); at < end; index++) {
    const [place, base] = [places[index], bases[index]];
    if (place === undefined || base === undefined || place.at > at || at >= place.at + place.bytes)
      throw new Error('it copies from where no base lies');
    const taken = Math.min(end, place.at + place.bytes) - at;
    const flat = flats.get(base);
    if (flat === undefined) out.add({ base, offset: at - place.at, length: taken });
    else take(flat, at - place.at, taken, out);
    at += taken;
  }
}

function take({ parts, starts }: Flat, offset: number, length: number, out: Parts): void {
  const end = offset + length;
  for (let index = lastAt(starts, (start) => start, offset), at = offset; at < end; index++) {
    const [part, start] = [parts[index], starts[index]];
    if (part === undefined || start === undefined || at >= start + part.length)
      throw new Error('it copies from behind the end of its base');
    const taken = Math.min(end, start + part.length) - at;
    out.add(slice(part, at - start, taken));
    at += taken;
  }
}

function slice(part: ChainPart, from: number, length: number): ChainPart {
  return 'bytes' in part
    ? { bytes: part.bytes.subarray(from, from + length), length }
    : { base: part.base, offset: part.offset + from, length };
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

/** Parts behind one another; what goes on where the last one ends is one with it. */
class Parts implements Flat {
  readonly parts: ChainPart[] = [];
  readonly starts: number[] = [];
  #bytes = 0;

  add(part: ChainPart): void {
    const last = this.parts.at(-1);
    this.#bytes += part.length;
    if (last !== undefined && 'base' in last && 'base' in part && last.base === part.base) {
      if (last.offset + last.length === part.offset) {
        this.parts[this.parts.length - 1] = { ...last, length: last.length + part.length };
        return;
      }
    }
    if (this.parts.length >= MAX_PARTS) throw new Error(`it is in more than ${MAX_PARTS} pieces`);
    this.parts.push(part);
    this.starts.push(this.#bytes - part.length);
  }
}

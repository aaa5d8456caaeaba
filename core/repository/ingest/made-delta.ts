/** Deltas that came ready-made, as they travelled: the bounds within which the repository keeps them. */

import type { MadeDelta } from '../../contracts/repository.ts';
import type { Digest } from '../../domain/manifest.ts';
import type { BaseFacts, BaseSource } from '../deltas/delta-search.ts';
import {
  arePlaces,
  type DeltaForm,
  MADE_DEPTH,
  MAX_BASES,
  MAX_PLACES,
  SHARED_DEPTH,
} from '../packs/pack-format.ts';
import { isInParts } from '../reading/payload-reader.ts';
import { type BasePart, stretchesOf } from '../reading/stretches.ts';

/** A delta counts only when it is at most this share of the chunk, both uncompressed. */
const KEEP_SHARE = 0.75;
/** What reading the bases of one session's deltas may cost: so many times what they make, and a floor. */
const STORED_FACTOR = 1.5;
/** Where deltas lie deeper in a row, their own bytes counted. */
const DEEP_FACTOR = 1.6;
/**
 * So many in a row are written; one more is merged with what lies below. Each costs a look into the index and a read, so that what is
 * read to restore a chunk is bounded by the factors above, and how often by this.
 */
export const WRITTEN_DEPTH = 24;
/** A merged delta takes the place of at least so many, or the next one would soon have to be merged again. */
const MERGED_DELTAS = 5;
/**
 * More are merged where that gives so much of the most that there is for each byte: neighbours, whose deltas differ a little, are then
 * merged in the same snapshot, and what they are read from lies side by side.
 */
const NEARLY_BEST = 0.75;
/** What the whole chunk must give at least of what merging gives, for each byte: it lasts longer (docs/overlays.md). */
const WHOLE_WORTH = 0.7;
const STORED_FLOOR_BYTES = 8 * 1024 * 1024;
/** Stored bytes between two bases that are read along rather than jumped over. */
const GAP_BYTES = 256 * 1024;

/** How a ready-made delta would be stored. */
export interface MadeForm {
  readonly form: DeltaForm;
  /** Its bases, and all they are made from. */
  readonly below: ReadonlyMap<Digest, BaseFacts>;
}

/** Undefined where another form is to be looked for: it saves too little, its bases are others, or lie too far apart. */
export function madeForm(bytes: number, made: MadeDelta, source: BaseSource): MadeForm | undefined {
  const { codec, formatVersion, bases } = made;
  if (bases.length < 1 || bases.length > MAX_PLACES || !arePlaces(bases)) return undefined;
  if (made.payload.length > bytes * KEEP_SHARE) return undefined;
  let depth = 1;
  for (const { digest, bytes: length } of bases) {
    const facts = source.facts(digest);
    if (facts === undefined || facts.bytes !== length) return undefined;
    depth = Math.max(depth, 1 + (facts.delta?.depth ?? 0));
  }
  if (made.shared && depth > SHARED_DEPTH) return undefined;
  const digests = bases.map(({ digest }) => digest);
  const below = closureOf(digests, source);
  if (below === undefined) return undefined;
  // Of a deep one each delta below may lie in a pack of its own.
  const runs = MAX_BASES + (depth > MADE_DEPTH ? below.size : 0);
  if (pieces([...below.values()]) > runs) return undefined;
  const places = bases.map(({ at, bytes: length }) => ({ at, bytes: length }));
  return { form: { codec, formatVersion, depth, bases: digests, places }, below };
}

/**
 * Where too many would lie in a row: the depth of what a merged delta is to lie on at most, so that it takes the place of as many as
 * there can be for each byte that is stored once more, or nearly; or `whole`, where that is nearly as good. Undefined where there are not too many.
 */
export function mergeFloor(
  bytes: number,
  payloadBytes: number,
  { form: { depth }, below }: MadeForm,
): number | 'whole' | undefined {
  if (depth <= WRITTEN_DEPTH) return undefined;
  const bytesByDepth = new Map<number, number>();
  for (const { delta, payloadBytes: length } of below.values())
    if (delta !== undefined) bytesByDepth.set(delta.depth, (bytesByDepth.get(delta.depth) ?? 0) + length);
  const gains: { readonly floor: number; readonly gain: number }[] = [];
  let mergedBytes = payloadBytes;
  for (let floor = depth - 2; floor >= 0; floor--) {
    mergedBytes += bytesByDepth.get(floor + 1) ?? 0;
    const replaced = depth - 1 - floor;
    if (replaced >= MERGED_DELTAS) gains.push({ floor, gain: replaced / mergedBytes });
  }
  const best = Math.max(...gains.map(({ gain }) => gain));
  if (depth / bytes >= WHOLE_WORTH * best) return 'whole';
  return gains.findLast(({ gain }) => gain >= NEARLY_BEST * best)?.floor;
}

/**
 * Watches over the bounds of docs/repository-format.md for one session: what its ready-made deltas need is read once
 * for all of them when they are restored in order, so the stored bytes of their bases are held against all they make.
 */
export class ReadingBound {
  readonly #counted = new Set<Digest>();
  #stored = 0;
  #made = 0;

  /** Counts a delta that makes `bytes` and is made one after another with what lies below, if that can be afforded. */
  takes(bytes: number, { below }: MadeForm): boolean {
    return this.#takes(bytes, STORED_FACTOR, 0, below);
  }

  /** The same of one that is put together with what lies below; `wanted` is what of each base that is read. */
  takesDeep(
    bytes: number,
    payloadBytes: number,
    { below }: MadeForm,
    wanted: ReadonlyMap<Digest, readonly BasePart[]>,
  ): boolean {
    const [whole, inParts] = [new Map<Digest, BaseFacts>(), new Map<Digest, BaseFacts>()];
    for (const [digest, facts] of below) (isReadInParts(facts) ? inParts : whole).set(digest, facts);
    const read = [...inParts.keys()].reduce((sum, digest) => sum + bytesOf(wanted.get(digest) ?? []), 0);
    return this.#takes(bytes, DEEP_FACTOR, payloadBytes + read, whole);
  }

  /** A chunk that is stored whole instead costs what it is, so that others may cost more. */
  takesWhole(bytes: number): void {
    this.#made += bytes;
    this.#stored += bytes;
  }

  #takes(bytes: number, factor: number, own: number, below: ReadonlyMap<Digest, BaseFacts>): boolean {
    const fresh = [...below].filter(([digest]) => !this.#counted.has(digest));
    const stored = fresh.reduce((sum, [, facts]) => sum + storedBytesOf(facts), this.#stored + own);
    if (stored > STORED_FLOOR_BYTES + factor * (this.#made + bytes)) return false;
    this.#stored = stored;
    this.#made += bytes;
    for (const [digest] of fresh) this.#counted.add(digest);
    return true;
  }
}

/** Is only what is needed of it read? So are whole chunks that are not compressed, not deltas. */
function isReadInParts({ delta, frame, payloadBytes }: BaseFacts): boolean {
  return delta === undefined && frame !== undefined && isInParts({ frame, payloadBytes });
}

function bytesOf(parts: readonly BasePart[]): number {
  return stretchesOf(parts).reduce((sum, { from, to }) => sum + to - from, 0);
}

/** These and all they are made from; undefined when something is not there. */
function closureOf(digests: readonly Digest[], source: BaseSource): Map<Digest, BaseFacts> | undefined {
  const closure = new Map<Digest, BaseFacts>();
  const waiting = [...digests];
  for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
    if (closure.has(digest)) continue;
    const facts = source.facts(digest);
    if (facts === undefined) return undefined;
    closure.set(digest, facts);
    waiting.push(...(facts.delta?.bases ?? []));
  }
  return closure;
}

/** Reads it takes to have them all: neighbours in a pack are one. What is not stored yet will be neighbours. */
function pieces(chunks: readonly BaseFacts[]): number {
  const stored = chunks.filter((facts) => facts.pack !== undefined && facts.frame !== undefined);
  const sorted = stored
    .map(({ pack, frame }) => ({ pack: pack as string, ...(frame as NonNullable<BaseFacts['frame']>) }))
    .sort((a, b) => (a.pack === b.pack ? a.offset - b.offset : a.pack < b.pack ? -1 : 1));
  let count = stored.length < chunks.length ? 1 : 0;
  let before: (typeof sorted)[number] | undefined;
  for (const one of sorted) {
    const near = before?.pack === one.pack && one.offset <= before.offset + before.storedBytes + GAP_BYTES;
    if (!near) count += 1;
    before = one;
  }
  return count;
}

function storedBytesOf({ frame, payloadBytes }: BaseFacts): number {
  return frame === undefined || frame.rawBytes === 0
    ? payloadBytes
    : (payloadBytes * frame.storedBytes) / frame.rawBytes;
}

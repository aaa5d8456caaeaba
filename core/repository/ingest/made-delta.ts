/** Deltas that came ready-made, as they travelled: whether the repository may keep them as they are. */

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

/** A delta counts only when it is at most this share of the chunk, both uncompressed. */
const KEEP_SHARE = 0.75;
/** What reading the bases of one session's deltas may cost: so many times what they make, and a floor. */
const STORED_FACTOR = 1.5;
/** Where deltas lie deeper in a row, their own bytes counted. */
const DEEP_FACTOR = 1.6;
/**
 * So many in a row are written: all chunks of a table then begin anew in one snapshot. One by one, neighbours whose cuts
 * have moved would hold on to what was left behind, and reading them would cost several times what they are.
 */
const WRITTEN_DEPTH = 49;
const STORED_FLOOR_BYTES = 8 * 1024 * 1024;
/** Stored bytes between two bases that are read along rather than jumped over. */
const GAP_BYTES = 256 * 1024;

/**
 * Watches over the bounds of docs/repository-format.md for one session: what its ready-made deltas need is read once
 * for all of them when they are restored in order, so the stored bytes of their bases are held against all they make.
 */
export class MadeDeltas {
  readonly #counted = new Set<Digest>();
  #stored = 0;
  #made = 0;

  /** The form to store it in; `whole` when deltas enough lie in a row; undefined when another form is to be looked for. */
  accept(bytes: number, made: MadeDelta, source: BaseSource): DeltaForm | 'whole' | undefined {
    const { codec, formatVersion, bases } = made;
    if (bases.length < 1 || bases.length > MAX_PLACES || !arePlaces(bases)) return undefined;
    if (made.payload.length > bytes * KEEP_SHARE) return undefined;
    let depth = 1;
    for (const { digest, bytes: length } of bases) {
      const facts = source.facts(digest);
      if (facts === undefined || facts.bytes !== length) return undefined;
      depth = Math.max(depth, 1 + (facts.delta?.depth ?? 0));
    }
    if (depth > (made.shared ? SHARED_DEPTH : WRITTEN_DEPTH))
      return made.shared ? undefined : this.#renewed(bytes);
    const digests = bases.map(({ digest }) => digest);
    const closure = closureOf(digests, source);
    if (closure === undefined) return undefined;
    const isDeep = depth > MADE_DEPTH;
    // Of a deep one each delta below may lie in a pack of its own.
    if (pieces([...closure.values()]) > MAX_BASES + (isDeep ? closure.size : 0)) return undefined;
    if (!this.#affordable(bytes, isDeep ? made.payload.length : undefined, closure))
      return isDeep ? this.#renewed(bytes) : undefined;
    const places = bases.map(({ at, bytes: length }) => ({ at, bytes: length }));
    return { codec, formatVersion, depth, bases: digests, places };
  }

  /** Reading it costs what it is, so that others may cost more. */
  #renewed(bytes: number): 'whole' {
    this.#made += bytes;
    this.#stored += bytes;
    return 'whole';
  }

  #affordable(bytes: number, own: number | undefined, closure: ReadonlyMap<Digest, BaseFacts>): boolean {
    const fresh = [...closure].filter(([digest]) => !this.#counted.has(digest));
    const stored = fresh.reduce((sum, [, facts]) => sum + storedBytesOf(facts), this.#stored + (own ?? 0));
    const factor = own === undefined ? STORED_FACTOR : DEEP_FACTOR;
    if (stored > STORED_FLOOR_BYTES + factor * (this.#made + bytes)) return false;
    this.#stored = stored;
    this.#made += bytes;
    for (const [digest] of fresh) this.#counted.add(digest);
    return true;
  }
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

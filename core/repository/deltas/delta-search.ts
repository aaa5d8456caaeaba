import type { Clock } from '../../contracts/clock.ts';
import type { DeltaCodec } from '../../contracts/delta-codec.ts';
import type { Log } from '../../contracts/log.ts';
import type { NearHint } from '../../contracts/repository.ts';
import { endsOf, firstEndBehind } from '../../domain/chunk-ends.ts';
import { digestOf } from '../../domain/content-ref.ts';
import type { ContentRef, Digest } from '../../domain/manifest.ts';
import { compress } from '../packs/frame-encoding.ts';
import { type DeltaForm, type FramePlace, MADE_DEPTH, MAX_BASES } from '../packs/pack-format.ts';
import type { ShiftedContent } from './near-tracker.ts';

/** Below this a delta's bookkeeping eats what it saves. */
const MIN_TARGET_BYTES = 512;
/** A delta counts only when it is at most this share of the chunk compressed whole, and this much smaller. */
const KEEP_SHARE = 0.8;
const KEEP_BYTES = 64;
/** One delta this good ends the search. */
const GOOD_SHARE = 0.5;
const GREAT_SHARE = 0.05;
/** Bases may hold at most this many times the target's bytes, stored 1.5 times; small ones get a floor. */
const BASE_RAW_FACTOR = 3;
const BASE_STORED_FACTOR = 1.5;
const BASE_FLOOR_BYTES = 256 * 1024;
const MAX_CONTENTS = 2;
/** Time for measuring codecs: a start, and so much a MiB of target. */
const BUDGET_MS = 100;
const BUDGET_MS_PER_MIB = 150;

/** What the search asks `choose`; the shape of the hook `diffing.choose`. */
export interface DeltaChoice {
  readonly targetBytes: number;
  readonly wholeBytes: number;
  readonly candidates: readonly {
    readonly codec: string;
    readonly storedBytes: number;
    readonly milliseconds: number;
  }[];
}

/** A stored or pending chunk as a possible base. */
export interface BaseFacts {
  readonly bytes: number;
  readonly payloadBytes: number;
  readonly delta?: DeltaForm;
  /** Where a stored one lies; absent while it is in memory only. */
  readonly pack?: string;
  readonly frame?: FramePlace;
}

export interface DeltaSearchParts {
  readonly codecs: readonly DeltaCodec[];
  readonly choose?: (request: DeltaChoice) => Promise<{ readonly codec: string } | undefined>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The repository as one session sees it. */
export interface BaseSource {
  facts(digest: Digest): BaseFacts | undefined;
  read(digest: Digest): Promise<Uint8Array>;
}

/** The form to store: a verified delta, or the whole. */
export interface FoundForm {
  readonly delta?: { readonly payload: Uint8Array; readonly form: DeltaForm };
}

interface Candidate {
  readonly codec: DeltaCodec;
  readonly payload: Uint8Array;
  readonly storedBytes: number;
  readonly milliseconds: number;
  readonly bases: Bases;
}

interface Bases {
  readonly digests: readonly Digest[];
  readonly depth: number;
  readonly bytes: Uint8Array;
}

/** Looks for the smallest form of a chunk among the codecs, against what is near. */
export class DeltaSearch {
  readonly #parts: DeltaSearchParts;

  constructor(parts: DeltaSearchParts) {
    this.#parts = parts;
  }

  /** Undefined when nothing was tried. Decodes what it encoded before it answers with a delta. */
  async find(
    digest: Digest,
    target: Uint8Array,
    near: NearHint,
    source: BaseSource,
    signal?: AbortSignal,
    maxDepth = MADE_DEPTH,
  ): Promise<FoundForm | undefined> {
    if (this.#parts.codecs.length === 0 || target.length < MIN_TARGET_BYTES) return undefined;
    const candidates: Candidate[] = [];
    let compressed: Uint8Array | undefined;
    for (const content of near.contents.slice(0, MAX_CONTENTS)) {
      const bases = await this.#bases(content, near.offset, target.length, source, maxDepth);
      if (bases === undefined) continue;
      compressed ??= await compress(target);
      candidates.push(...(await this.#measure(target, bases, compressed.length, 'hurry', signal)));
      if (candidates.some((one) => one.storedBytes <= (compressed?.length ?? 0) * GOOD_SHARE)) break;
    }
    if (compressed === undefined) return undefined;
    const delta = await this.#pick(digest, target, compressed.length, candidates, KEEP_SHARE);
    return delta === undefined ? {} : { delta };
  }

  /**
   * The smallest delta against these whole chunks, joined, whatever time it takes: undefined unless it takes at most
   * `share` of the chunk compressed by itself, or when a base cannot be read. Decodes what it encoded before it answers.
   */
  async against(
    digest: Digest,
    target: Uint8Array,
    bases: readonly Digest[],
    source: Pick<BaseSource, 'read'>,
    share: number,
    signal?: AbortSignal,
  ): Promise<FoundForm['delta']> {
    const joined = await this.#join(bases, source);
    if (joined === undefined) return undefined;
    const wholeBytes = (await compress(target)).length;
    const against = { digests: bases, depth: 1, bytes: joined };
    const candidates = await this.#measure(target, against, wholeBytes, 'leisure', signal);
    return this.#pick(digest, target, wholeBytes, candidates, share);
  }

  async #measure(
    target: Uint8Array,
    bases: Bases,
    wholeBytes: number,
    pace: 'hurry' | 'leisure',
    signal: AbortSignal | undefined,
  ): Promise<Candidate[]> {
    const { choose, clock, codecs, log } = this.#parts;
    const deadline = clock.now() + BUDGET_MS + (BUDGET_MS_PER_MIB * target.length) / (1 << 20);
    const candidates: Candidate[] = [];
    for (const codec of codecs) {
      signal?.throwIfAborted();
      if (pace === 'hurry' && candidates.length > 0 && clock.now() > deadline) break;
      if (bases.bytes.length > codec.limits.maxBaseBytes || target.length > codec.limits.maxTargetBytes)
        continue;
      const began = clock.now();
      try {
        const delta = await codec.encode(bases.bytes, target, {
          effort: 'fast',
          ...(signal ? { signal } : {}),
        });
        const storedBytes = Math.min(delta.length, (await compress(delta)).length);
        candidates.push({ codec, payload: delta, storedBytes, milliseconds: clock.now() - began, bases });
        if (choose === undefined && storedBytes <= wholeBytes * GREAT_SHARE) break;
      } catch (error) {
        signal?.throwIfAborted();
        log.warn(
          { codec: codec.name, error: String(error) },
          'a codec could not encode; going on without it',
        );
      }
    }
    return candidates;
  }

  async #pick(
    digest: Digest,
    target: Uint8Array,
    wholeBytes: number,
    candidates: readonly Candidate[],
    share: number,
  ) {
    if (candidates.length === 0) return undefined;
    const bySize = [...candidates].sort((a, b) => a.storedBytes - b.storedBytes);
    const chosen = await this.#parts.choose?.({
      targetBytes: target.length,
      wholeBytes,
      candidates: bySize.map(({ codec, storedBytes, milliseconds }) => ({
        codec: codec.name,
        storedBytes,
        milliseconds,
      })),
    });
    const small = Math.min(wholeBytes * share, wholeBytes - KEEP_BYTES);
    const worthy = bySize.filter((one) =>
      chosen === undefined ? one.storedBytes <= small : one.codec.name === chosen.codec,
    );
    for (const candidate of worthy) {
      if (await this.#decodesBack(digest, target, candidate)) return formOf(candidate);
    }
    return undefined;
  }

  /** A compressor's bug must not get into the repository: what does not come back is not stored. */
  async #decodesBack(digest: Digest, target: Uint8Array, { codec, payload, bases }: Candidate) {
    try {
      const { formatVersion } = codec;
      const back = await codec.decode(bases.bytes, payload, { targetBytes: target.length, formatVersion });
      if (back.length === target.length && digestOf(back) === digest) return true;
      this.#parts.log.error(
        { codec: codec.name, digest },
        'a codec made a delta that decodes to other bytes',
      );
    } catch (error) {
      this.#parts.log.error(
        { codec: codec.name, digest, error: String(error) },
        'a codec cannot decode its delta',
      );
    }
    return false;
  }

  /** The chunks of `content` around the target's place, read and joined; undefined when there are none. */
  async #bases(
    content: ContentRef,
    offset: number,
    targetBytes: number,
    source: BaseSource,
    maxDepth: number,
  ) {
    const digests = chooseBases(content, offset, targetBytes, source, maxDepth);
    if (digests.length === 0) return undefined;
    const bytes = await this.#join(digests, source);
    if (bytes === undefined) return undefined;
    const depths = digests.map((digest) => source.facts(digest)?.delta?.depth ?? 0);
    return { digests, depth: 1 + Math.max(...depths), bytes };
  }

  /** Undefined when one cannot be read. */
  async #join(digests: readonly Digest[], source: Pick<BaseSource, 'read'>): Promise<Uint8Array | undefined> {
    try {
      const parts: Uint8Array[] = [];
      for (const digest of digests) parts.push(await source.read(digest));
      return Buffer.concat(parts);
    } catch (error) {
      this.#parts.log.warn({ error: String(error) }, 'a delta’s base cannot be read; going on without it');
      return undefined;
    }
  }
}

function formOf({ codec, payload, bases }: Candidate): NonNullable<FoundForm['delta']> {
  const { name, formatVersion } = codec;
  return { payload, form: { codec: name, formatVersion, depth: bases.depth, bases: bases.digests } };
}

/** Most overlap first, within the bounds on depth, pieces and bytes; then in order of offset. */
function chooseBases(
  content: ShiftedContent,
  offset: number,
  targetBytes: number,
  source: BaseSource,
  maxDepth: number,
): readonly Digest[] {
  const budget = new BaseBudget(targetBytes, source, maxDepth);
  const start = offset + (content.drift ?? 0);
  const around = overlapping(content, start, start + targetBytes);
  const chosen: { readonly at: number; readonly digests: readonly Digest[] }[] = [];
  for (const { digest, at } of [...around].sort((a, b) => b.overlap - a.overlap)) {
    const digests = budget.take(digest);
    if (digests.length > 0) chosen.push({ at, digests });
  }
  return [...new Set(chosen.sort((a, b) => a.at - b.at).flatMap((one) => one.digests))];
}

/** Counts what reading the bases would cost. */
class BaseBudget {
  readonly #source: BaseSource;
  readonly #maxDepth: number;
  #raw: number;
  #stored: number;
  #pieces = MAX_BASES;

  constructor(targetBytes: number, source: BaseSource, maxDepth: number) {
    this.#maxDepth = maxDepth;
    this.#source = source;
    this.#raw = Math.max(BASE_FLOOR_BYTES, targetBytes * BASE_RAW_FACTOR);
    this.#stored = Math.max(BASE_FLOOR_BYTES, targetBytes * BASE_STORED_FACTOR);
  }

  /** The base itself, or what it was made from where it is too deep already; nothing when over budget. */
  take(digest: Digest): readonly Digest[] {
    const facts = this.#source.facts(digest);
    if (facts === undefined) return [];
    const digests = (facts.delta?.depth ?? 0) < this.#maxDepth ? [digest] : (facts.delta?.bases ?? []);
    const found = digests.map((base) => this.#source.facts(base));
    if (found.some((base) => base === undefined || (base.delta?.depth ?? 0) >= this.#maxDepth)) return [];
    const closure = [
      ...found,
      ...found.flatMap((base) => base?.delta?.bases.map((b) => this.#source.facts(b))),
    ];
    const raw = found.reduce((sum, base) => sum + (base?.bytes ?? 0), 0);
    const stored = closure.reduce((sum, base) => sum + (base?.payloadBytes ?? 0), 0);
    if (raw > this.#raw || stored > this.#stored || closure.length > this.#pieces) return [];
    this.#raw -= raw;
    this.#stored -= stored;
    this.#pieces -= closure.length;
    return digests;
  }
}

interface Overlap {
  readonly digest: Digest;
  readonly at: number;
  readonly overlap: number;
}

/** Chunks that overlap [start, end), plus the neighbour on either side where the edge is close. */
function overlapping(content: ContentRef, start: number, end: number): Overlap[] {
  const slack = Math.min(64 * 1024, (end - start) / 4);
  const ends = endsOf(content.chunks);
  const found: Overlap[] = [];
  for (let index = firstEndBehind(ends, start - slack); index < content.chunks.length; index++) {
    const { digest, bytes } = content.chunks[index] as ContentRef['chunks'][number];
    const at = (ends[index] as number) - bytes;
    if (at >= end + slack) break;
    found.push({ digest, at, overlap: Math.min(at + bytes, end + slack) - Math.max(at, start - slack) });
  }
  return found;
}

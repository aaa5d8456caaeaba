import type { DeltaCodec } from '../../contracts/delta-codec.ts';
import type { MadeDelta } from '../../contracts/repository.ts';
import { digestOf } from '../../domain/content-ref.ts';
import type { Digest } from '../../domain/manifest.ts';
import { release } from '../../domain/release.ts';
import type { ChunkIndex, IndexedChunk } from '../chunk-index/chunk-index.ts';
import type { Marks } from '../chunk-index/suspects.ts';
import {
  ChainError,
  type ChainLink,
  type ChainPart,
  type ChainSource,
  flatten,
} from '../deltas/delta-chain.ts';
import { mergedParts } from '../deltas/merged-delta.ts';
import type { DeltaForm } from '../packs/pack-format.ts';
import type { PendingChunks } from '../packs/pack-writer.ts';
import { isDamage } from '../store/damage.ts';
import { isInParts, type PayloadReader } from './payload-reader.ts';
import type { Chain, ReadCache } from './read-cache.ts';
import { type BasePart, partsByBase, stretchesOf } from './stretches.ts';

/** The bytes of a base, or undefined where there is none. What is made from them may be all that is compared. */
type ReadBase = (base: Digest) => Promise<Uint8Array | undefined>;

export interface ChainReaderParts {
  readonly index: ChunkIndex;
  readonly marks: Marks;
  readonly codecs: ReadonlyMap<string, DeltaCodec>;
  readonly payloads: PayloadReader;
  readonly cache: ReadCache;
}

/** Makes chunks that are stored as deep deltas. */
export class ChainReader {
  readonly #index: ChunkIndex;
  readonly #marks: Marks;
  readonly #codecs: ReadonlyMap<string, DeltaCodec>;
  readonly #payloads: PayloadReader;
  readonly #cache: ReadCache;

  constructor({ index, marks, codecs, payloads, cache }: ChainReaderParts) {
    this.#index = index;
    this.#marks = marks;
    this.#codecs = codecs;
    this.#payloads = payloads;
    this.#cache = cache;
  }

  /** What the chunk needs of each base, of which none is such a delta. Throws when it is damaged or in too many pieces. */
  async wanted(link: ChainLink, pending: PendingChunks): Promise<Map<Digest, BasePart[]>> {
    return await this.#flattened(link, pending, 0, partsByBase);
  }

  /**
   * `use` is given the parts that make the chunk, in order and without gaps, and may look at their bytes until it returns; deltas no
   * deeper than `floor` count as chunks of their own.
   */
  async #flattened<T>(
    link: ChainLink,
    pending: PendingChunks | undefined,
    floor: number,
    use: (parts: readonly ChainPart[]) => T,
  ): Promise<T> {
    for (;;) {
      const chain = this.#cache.beginChain();
      try {
        return use(await flatten(link, this.#source(chain, pending, floor)));
      } catch (error) {
        if (!(error instanceof Moved)) throw error;
      } finally {
        this.#cache.endChain(chain);
      }
    }
  }

  /**
   * The chunk as one delta of what lies no deeper than `floor`; undefined where its codec puts none together. Throws as
   * {@link wanted} does.
   */
  async merged(
    link: ChainLink,
    floor: number,
    pending: PendingChunks,
  ): Promise<Omit<MadeDelta, 'shared'> | undefined> {
    const codec = this.#codecs.get(link.delta.codec);
    const compose = codec?.signatures?.compose;
    if (codec === undefined || compose === undefined) return undefined;
    const bytesOf = (base: Digest) => (pending.find(base) ?? this.#index.find(base))?.bytes;
    return await this.#flattened(link, pending, floor, (found) => {
      const { bases, parts } = mergedParts(found, bytesOf);
      return { codec: codec.name, formatVersion: codec.formatVersion, payload: compose(parts), bases };
    });
  }

  #source(chain: Chain, pending: PendingChunks | undefined, floor: number): ChainSource {
    return {
      link: (digest) => {
        const link = this.#link(digest, chain, pending);
        return link === undefined || link.delta.depth <= floor ? undefined : link;
      },
      parts: ({ bytes, delta }, payload) => {
        const last = delta.places?.at(-1);
        const parts = this.#codecs.get(delta.codec)?.signatures?.parts;
        if (last === undefined || parts === undefined)
          throw new ChainError(`codec ${delta.codec} puts no deltas of deltas together`);
        const bounds = { baseBytes: last.at + last.bytes, targetBytes: bytes };
        return parts(payload, { ...bounds, formatVersion: delta.formatVersion });
      },
    };
  }

  /**
   * The chunk, verified if it shall be `compared`; undefined when other bytes come out. Of bases that are not compressed only what is needed is read,
   * and the chunk's own digest speaks for it. Where it does not, `whole` reads each of them, so that what is damaged is named.
   */
  async make(
    digest: Digest,
    link: ChainLink,
    whole: ReadBase,
    { pending, compared }: { readonly pending: PendingChunks | undefined; readonly compared: boolean },
  ): Promise<Uint8Array | undefined> {
    const made = Buffer.allocUnsafeSlow(link.bytes);
    const bases = await this.#flattened(link, pending, 0, (parts) => {
      layLiterals(parts, made);
      return partsByBase(parts);
    });
    try {
      for (const [base, wanted] of bases) {
        const stored = pending?.find(base) === undefined ? this.#index.find(base) : undefined;
        if (stored === undefined || stored.delta !== undefined || !isInParts(stored))
          await layBase(base, wanted, whole, made);
        else await this.#layStretches(base, stored, wanted, made);
      }
      if (!compared || digestOf(made) === digest) return made;
    } catch (error) {
      // What is damaged, or was moved meanwhile, is found out below.
      if (!isDamage(error)) throw error;
    }
    for (const [base, wanted] of bases) await layBase(base, wanted, whole, made);
    return !compared || digestOf(made) === digest ? made : undefined;
  }

  /** The delta with placed bases that the chunk is stored as, if it is. */
  #link(digest: Digest, chain: Chain, pending: PendingChunks | undefined): ChainLink | undefined {
    const held = pending?.find(digest);
    if (held !== undefined) {
      const { bytes, delta } = held;
      if (delta?.places === undefined) return undefined;
      return { bytes, delta, payload: () => heldPayload(digest, delta, pending) };
    }
    const stored = this.#index.find(digest);
    if (stored?.delta?.places === undefined) return undefined;
    const { bytes, delta } = stored;
    return { bytes, delta, payload: () => this.#payload(digest, stored, chain) };
  }

  async #payload(digest: Digest, stored: IndexedChunk, chain: Chain): Promise<Uint8Array> {
    try {
      return await this.#payloads.link(digest, stored, chain);
    } catch (error) {
      if (this.#index.find(digest)?.pack !== stored.pack) throw new Moved(digest, { cause: error });
      if (isDamage(error)) this.#marks.mark(digest);
      throw error;
    }
  }

  async #layStretches(base: Digest, stored: IndexedChunk, wanted: readonly BasePart[], made: Uint8Array) {
    for (const stretch of stretchesOf(wanted)) {
      const bytes = await this.#payloads.range(base, stored, stretch.from, stretch.to - stretch.from);
      layParts(bytes, stretch.from, stretch.parts, made);
      release(bytes);
    }
  }
}

/** Collected or moved while it was read: it lies elsewhere now, maybe in another form. */
class Moved extends Error {}

/** Looked for anew: by the time it is needed its pack may be stored, and what was in memory freed. */
async function heldPayload(digest: Digest, delta: DeltaForm, pending: PendingChunks | undefined) {
  const held = pending?.find(digest);
  if (held?.delta !== delta) throw new Moved(digest);
  return await held.payload();
}

/** Puts the bytes of deltas into their places. */
function layLiterals(parts: readonly ChainPart[], made: Uint8Array): void {
  for (const part of parts) if ('bytes' in part) made.set(part.bytes, part.at);
}

async function layBase(base: Digest, wanted: readonly BasePart[], whole: ReadBase, made: Uint8Array) {
  const bytes = await whole(base);
  if (bytes === undefined) throw new Error(`its base ${base} is missing`);
  layParts(bytes, 0, wanted, made);
}

/** `bytes` begin at `from` of the base. */
function layParts(bytes: Uint8Array, from: number, parts: readonly BasePart[], made: Uint8Array): void {
  for (const { at, offset, length } of parts) {
    if (offset - from + length > bytes.length) throw new Error('it copies from behind the end of its base');
    made.set(bytes.subarray(offset - from, offset - from + length), at);
  }
}

/**
 * Finds what frames repeat of one another: tools of one package that contain the same library, databases that began as
 * copies of a template, a log that holds pages of a table. A chunk of which enough lies in others becomes a delta
 * against them.
 */

import type { Digest } from '../../domain/manifest.ts';
import { PassedBytes } from '../../domain/release.ts';
import type { NewChunk } from '../packs/pack-writer.ts';
import type { DeltaSearch } from './delta-search.ts';
import { anchorsOf, SparseIndex } from './sparse-index.ts';

/** Smaller ones gain little, and each delta costs a restore the reading of another frame. */
const MIN_BYTES = 64 * 1024;
/** Two find what four find, but for a two-thousandth (measured), and make a restore read half as many frames. */
const MAX_BASES = 2;
/** A base has to hold so much of the chunk, and all of them together, for a delta to be tried. */
const MIN_SHARE = 0.1;
const MIN_SHARE_TOGETHER = 0.3;
/** By chance any two chunks may have one anchor in common. */
const MIN_ANCHORS = 2;
/** Reading the bases costs at most so many times the chunk: docs/repository-format.md's bound. */
const BASE_FACTOR = 1.5;
const BASE_FLOOR_BYTES = 256 * 1024;
/**
 * Of the chunk compressed by itself a delta may take this share. In its frame, and harder, the chunk takes less than by itself;
 * and what is saved has to be worth making a chunk from others whenever it is read.
 */
const KEEP_SHARE = 0.4;

export interface RepeatSearchParts {
  readonly search: DeltaSearch;
  /** The verified bytes of a stored chunk. */
  readonly read: (digest: Digest) => Promise<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
}

/** A chunk that stays whole, and the name of the frame that it lies in. */
interface Owner {
  readonly digest: Digest;
  readonly bytes: number;
  readonly frame: string;
}

/** For one run over many packs: whole chunks that it was told of serve as bases for later ones. */
export class RepeatSearch {
  readonly #parts: RepeatSearchParts;
  readonly #index = new SparseIndex<Owner>();
  readonly #passed = new PassedBytes();

  constructor(parts: RepeatSearchParts) {
    this.#parts = parts;
  }

  /** What to look for and to remember; undefined for what is no base and needs none. */
  sample({ payload, delta }: NewChunk): Int32Array | undefined {
    return delta === undefined && payload.length >= MIN_BYTES ? anchorsOf(payload) : undefined;
  }

  /** It stays whole, in this frame. */
  add({ digest, bytes }: NewChunk, anchors: Int32Array, frame: string): void {
    this.#index.add(anchors, { digest, bytes, frame });
  }

  /** A verified delta of depth 1 instead of the whole; undefined unless it is clearly smaller. `frame`: where the chunk would lie. */
  async find(chunk: NewChunk, anchors: Int32Array, frame: string | undefined): Promise<NewChunk | undefined> {
    const bases = this.#bases(chunk, anchors, frame);
    if (bases.length === 0) return undefined;
    const { search, read, signal } = this.#parts;
    const { digest, bytes, payload } = chunk;
    const found = await search.against(digest, payload, bases, { read }, KEEP_SHARE, signal);
    // The bases, joined, and the chunk made from them by each codec are garbage now.
    this.#passed.add(bytes * (1 + BASE_FACTOR));
    return found === undefined ? undefined : { digest, bytes, payload: found.payload, delta: found.form };
  }

  /** Those that hold most of it. What its own frame holds, the compressor finds. */
  #bases({ bytes }: NewChunk, anchors: Int32Array, frame: string | undefined): Digest[] {
    const shared = new Map<Owner, number>();
    for (const anchor of anchors) {
      const owner = this.#index.find(anchor);
      if (owner !== undefined && owner.frame !== frame) shared.set(owner, (shared.get(owner) ?? 0) + 1);
    }
    const least = Math.max(MIN_ANCHORS, anchors.length * MIN_SHARE);
    let room = Math.max(BASE_FLOOR_BYTES, bytes * BASE_FACTOR);
    let together = 0;
    const bases: Digest[] = [];
    for (const [owner, count] of [...shared].sort((a, b) => b[1] - a[1])) {
      if (count < least || bases.length >= MAX_BASES) break;
      if (owner.bytes > room) continue;
      room -= owner.bytes;
      together += count;
      bases.push(owner.digest);
    }
    return together < anchors.length * MIN_SHARE_TOGETHER ? [] : bases;
  }
}

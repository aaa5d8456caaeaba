/** What a reader of chunks keeps for the next ones: decoded frames, and the bases of deltas. */

import type { Digest } from '../domain/manifest.ts';
import { ByteCache } from './byte-cache.ts';

/** How much is kept, bytes. */
export interface ReadCacheLimits {
  /** Of frames of whole chunks, 4 to 16 MiB each. */
  readonly frames: number;
  /** Of groups of deltas, as long as no chain of them needs more. */
  readonly groups: number;
  /** Of whole chunks that deltas are made from. */
  readonly bases: number;
}

/** Frames above this hold whole chunks; groups of deltas are half a megabyte. */
const LARGE_FRAME_BYTES = 2 * 1024 * 1024;
export function isLargeFrame(rawBytes: number): boolean {
  return rawBytes > LARGE_FRAME_BYTES;
}

/** A link of a chain of deltas: its group, and half of a neighbour's. */
const LINK_BYTES = 768 * 1024;
/** Chains that have to pass until the room of one link is given up: of neighbours, one in ten may be made from other snapshots. */
const PATIENCE = 8;

/**
 * Frames of whole chunks and groups of deltas are kept apart, since one of the former is as large as thirty of the latter, and
 * bases from both: each chunk has its own, and they would push out groups that only one chunk in ten needs.
 * A chunk put together from fifty deltas reads fifty groups, and its neighbour the same ones: while such are read, there is
 * room for them.
 */
export class ReadCache {
  readonly #frames: ByteCache<Uint8Array>;
  readonly #groups: ByteCache<Uint8Array>;
  readonly #bases: ByteCache<Uint8Array>;
  readonly #groupBytes: number;
  #links = 0;
  /** Links that there is room for, besides those of the chain at hand. */
  #room = 0;

  constructor({ frames, groups, bases }: ReadCacheLimits) {
    this.#frames = new ByteCache(frames);
    this.#groups = new ByteCache(groups);
    this.#bases = new ByteCache(bases);
    this.#groupBytes = groups;
  }

  /** The raw bytes of the frame of this name. */
  frame(name: string, rawBytes: number, read: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const cache = isLargeFrame(rawBytes) ? this.#frames : this.#groups;
    return cache.get(name, rawBytes, read);
  }

  /** A whole chunk that deltas are made from. */
  base(digest: Digest, bytes: number, make: () => Promise<Uint8Array>): Promise<Uint8Array> {
    return this.#bases.get(digest, bytes, make);
  }

  /** Deltas are about to be put together: of room that longer chains needed, some is given up. A short one between them changes little. */
  beginChain(): void {
    this.#room = Math.max(this.#links, this.#room - 1 / PATIENCE);
    this.#links = 0;
  }

  /** One more delta belongs to the chain. */
  addLink(): void {
    this.#links += 1;
    this.#groups.resize(this.#groupBytes + LINK_BYTES * Math.max(this.#links, this.#room));
  }
}

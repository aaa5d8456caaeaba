/** What a reader of chunks keeps for the next ones: decoded frames, and the bases of deltas. */

import type { Digest } from '../domain/manifest.ts';
import { ByteCache } from './byte-cache.ts';

/** How much is kept, bytes. */
export interface ReadCacheLimits {
  /** Of frames of whole chunks, 4 to 16 MiB each. */
  readonly frames: number;
  /** Of what deltas are made from, as long as no chain of them needs more. */
  readonly deltas: number;
}

/** Frames above this hold whole chunks; groups of deltas are half a megabyte. */
const LARGE_FRAME_BYTES = 2 * 1024 * 1024;
/** A link of a chain of deltas: its group, and some of a neighbour's. */
const LINK_BYTES = 640 * 1024;

/**
 * Frames of whole chunks and what deltas need are kept apart, since one of the former is as large as thirty of the latter.
 * A chunk put together from fifty deltas reads fifty groups, and its neighbour the same ones: while such are read, there is
 * room for them.
 */
export class ReadCache {
  readonly #frames: ByteCache<Uint8Array>;
  readonly #deltas: ByteCache<Uint8Array>;
  readonly #deltaBytes: number;
  #links = 0;
  /** Links that there is room for, besides those of the chain at hand. */
  #room = 0;

  constructor({ frames, deltas }: ReadCacheLimits) {
    this.#frames = new ByteCache(frames);
    this.#deltas = new ByteCache(deltas);
    this.#deltaBytes = deltas;
  }

  /** The raw bytes of the frame of this name. */
  frame(name: string, rawBytes: number, read: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const cache = rawBytes > LARGE_FRAME_BYTES ? this.#frames : this.#deltas;
    return cache.get(`frame ${name}`, rawBytes, read);
  }

  /** A whole chunk that deltas are made from. */
  base(digest: Digest, bytes: number, make: () => Promise<Uint8Array>): Promise<Uint8Array> {
    return this.#deltas.get(`base ${digest}`, bytes, make);
  }

  /** Deltas are about to be put together: of room that longer chains needed, some is given up. A short one between them changes little. */
  beginChain(): void {
    this.#room = Math.max(this.#links, this.#room - 1);
    this.#links = 0;
  }

  /** One more delta belongs to the chain. */
  addLink(): void {
    this.#links += 1;
    this.#deltas.resize(this.#deltaBytes + LINK_BYTES * Math.max(this.#links, this.#room));
  }
}

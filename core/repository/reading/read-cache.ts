/** What a reader of chunks keeps for the next ones: decoded frames, and the bases of deltas. */

import type { Digest } from '../../domain/manifest.ts';
import { ByteCache } from './byte-cache.ts';
import { GroupWindows, type LentPart, type PlainGroup, windowBytes } from './group-windows.ts';
import { KeptFrame } from './kept-frame.ts';

/** How much is kept, bytes. */
export interface ReadCacheLimits {
  /** Of frames of whole chunks, 4 to 16 MiB each. */
  readonly frames: number;
  /** Of groups of deltas, as long as no chain of them needs more. */
  readonly groups: number;
  /** Of whole chunks that deltas are made from. */
  readonly bases: number;
}

/** A frame as it is kept. */
export interface CachedFrame {
  readonly name: string;
  readonly rawBytes: number;
  readonly read: () => Promise<Uint8Array>;
}

/** Where a part of a frame lies in it, bytes. */
export interface FramePart {
  readonly at: number;
  readonly length: number;
}

/** Frames above this hold whole chunks; groups of deltas are half a megabyte. */
const LARGE_FRAME_BYTES = 2 * 1024 * 1024;
export function isLargeFrame(rawBytes: number): boolean {
  return rawBytes > LARGE_FRAME_BYTES;
}

/**
 * What there has to be room for, for each byte of what the links of a chain are read from: of it, and of neighbours whose deltas were
 * merged in other snapshots.
 */
const ROOM = 3;
/** But no more than this: rows of deltas were longer once. */
const MOST_ROOM = 36 * 1024 * 1024;
/**
 * What a link counts for at most: a group of deltas. One that was stored beside many small files lies in a frame of up to 16 MiB,
 * which no neighbour needs, and which is kept elsewhere.
 */
const LINK_BYTES = 512 * 1024;
/** So much of the room for a long chain is given up with each shorter one: of neighbours, one in ten may be made from other snapshots. */
const GIVEN_UP_BYTES = 192 * 1024;

/** What the links of one chain are read from, as far as they are known; {@link ReadCache.beginChain} makes it, {@link ReadCache.endChain} ends it. */
export interface Chain {
  bytes: number;
  readonly lent: LentPart[];
}

/**
 * Frames of whole chunks and groups of deltas are kept apart, since one of the former is as large as thirty of the latter, and
 * bases from both: each chunk has its own, and they would push out groups that only one chunk in ten needs.
 * A chunk put together from two dozen deltas reads as many groups, and its neighbour the same ones: while such are read, there is
 * room for them.
 */
export class ReadCache {
  readonly #frames: ByteCache<Uint8Array>;
  readonly #groups: ByteCache<Uint8Array>;
  readonly #windows = new GroupWindows();
  readonly #bases: ByteCache<Uint8Array>;
  readonly #groupBytes: number;
  /** By what is in the caches. */
  readonly #kept = new WeakMap<Promise<Uint8Array>, KeptFrame>();
  #chain: Chain = { bytes: 0, lent: [] };
  #room = 0;

  constructor({ frames, groups, bases }: ReadCacheLimits) {
    const giveUp = (raw: Promise<Uint8Array>) => this.#kept.get(raw)?.giveUp();
    this.#frames = new ByteCache(frames, giveUp);
    this.#groups = new ByteCache(groups, giveUp);
    this.#bases = new ByteCache(bases);
    this.#groupBytes = groups;
  }

  /** A part of the frame of this name, the caller's to free. `read`: all of it, in a buffer that is nobody else's. */
  frame(frame: CachedFrame, { at, length }: FramePart): Promise<Uint8Array> {
    return this.#keptFrame(frame).part(at, length);
  }

  /** The same where it lies: `use` may read it until it settles. */
  lend(
    frame: CachedFrame,
    { at, length }: FramePart,
    use: (bytes: Uint8Array) => Promise<void>,
  ): Promise<void> {
    return this.#keptFrame(frame).lend(at, length, use);
  }

  #keptFrame({ name, rawBytes, read }: CachedFrame): KeptFrame {
    const cache = isLargeFrame(rawBytes) ? this.#frames : this.#groups;
    const raw = cache.get(name, rawBytes, () => {
      const making = read();
      this.#kept.set(making, new KeptFrame(making));
      return making;
    });
    return this.#kept.get(raw) as KeptFrame;
  }

  /** A delta: `length` bytes at `at` of its group, the caller's to free. */
  async part(group: PlainGroup, at: number, length: number): Promise<Uint8Array> {
    const { bytes, giveBack } = await this.#windows.read(group, at, length);
    const own = Uint8Array.prototype.slice.call(bytes);
    giveBack();
    return own;
  }

  /** The same of one in a chain, good until that ends: do not change or free it. */
  async chained(group: PlainGroup, at: number, length: number, chain: Chain): Promise<Uint8Array> {
    this.addLink(chain, windowBytes(group, length));
    const part = await this.#windows.read(group, at, length);
    chain.lent.push(part);
    return part.bytes;
  }

  /** A whole chunk that deltas are made from. */
  base(digest: Digest, bytes: number, make: () => Promise<Uint8Array>): Promise<Uint8Array> {
    return this.#bases.get(digest, bytes, make);
  }

  /** Keeps nothing of what there is, also of what is still being read: something of it was read wrong. */
  clear(): void {
    for (const kept of [this.#frames, this.#groups, this.#windows, this.#bases]) kept.clear();
  }

  /**
   * Deltas are about to be put together; several chains may be under way. Of room that longer ones needed, some is given up: a
   * short one between them changes little.
   */
  beginChain(): Chain {
    this.#room = Math.max(roomFor(this.#chain), this.#room - GIVEN_UP_BYTES);
    this.#chain = { bytes: 0, lent: [] };
    return this.#chain;
  }

  /** What was read for it is no longer needed. */
  endChain({ lent }: Chain): void {
    for (const part of lent.splice(0)) part.giveBack();
  }

  /** One more delta belongs to the chain, and is read from so many bytes. */
  addLink(chain: Chain, bytes: number): void {
    chain.bytes += Math.min(bytes, LINK_BYTES);
    this.#room = Math.max(this.#room, roomFor(chain));
    this.#groups.resize(this.#groupBytes + this.#room);
    this.#windows.resize(this.#room);
  }
}

function roomFor({ bytes }: Chain): number {
  return Math.min(MOST_ROOM, ROOM * bytes);
}

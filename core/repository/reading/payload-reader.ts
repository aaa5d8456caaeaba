import type { Digest } from '../../domain/manifest.ts';
import { release } from '../../domain/release.ts';
import type { ChunkIndex, IndexedChunk } from '../chunk-index/chunk-index.ts';
import type { Marks } from '../chunk-index/suspects.ts';
import { decompress } from '../packs/frame-encoding.ts';
import { damagedChunk } from '../store/damage.ts';
import type { PortableStore } from '../store/portable-store.ts';
import { type CachedFrame, type Chain, isLargeFrame, type ReadCache } from './read-cache.ts';

export interface PayloadReaderParts {
  readonly store: PortableStore;
  readonly index: ChunkIndex;
  readonly marks: Marks;
  readonly cache: ReadCache;
}

/** Reads what packs hold of chunks, bytes or deltas. REPOSITORY_DAMAGED names the chunk; no digest is checked. */
export class PayloadReader {
  readonly #store: PortableStore;
  readonly #index: ChunkIndex;
  readonly #marks: Marks;
  readonly #cache: ReadCache;

  constructor({ store, index, marks, cache }: PayloadReaderParts) {
    this.#store = store;
    this.#index = index;
    this.#marks = marks;
    this.#cache = cache;
  }

  /** What its frame holds of the chunk; the caller's to free. */
  async payload(digest: Digest, stored: IndexedChunk): Promise<Uint8Array> {
    const { pack, frame, at, payloadBytes } = stored;
    if (isShared(stored) && isInParts(stored)) return await this.range(digest, stored, 0, payloadBytes);
    if (!isShared(stored)) return await this.readFrame(digest, pack, frame);
    return await this.#cache.frame(this.#kept(digest, stored), { at, length: payloadBytes });
  }

  /**
   * The same without a copy, where it is part of a frame that is kept: `use` may read it until it settles. False, and nothing
   * done, where it is none.
   */
  async lend(
    digest: Digest,
    stored: IndexedChunk,
    use: (payload: Uint8Array) => Promise<void>,
  ): Promise<boolean> {
    if (!isShared(stored) || isInParts(stored)) return false;
    const { at, payloadBytes } = stored;
    await this.#cache.lend(this.#kept(digest, stored), { at, length: payloadBytes }, use);
    return true;
  }

  #kept(digest: Digest, { pack, frame }: IndexedChunk): CachedFrame {
    const read = () => this.readFrame(digest, pack, frame);
    return { name: `${pack}:${frame.offset}`, rawBytes: frame.rawBytes, read };
  }

  /**
   * {@link payload} of a delta that lies on deltas; of one below it in its `chain`. Of its group only what is near is read along.
   * In a chain it is good until that ends: do not change or free it.
   */
  async link(digest: Digest, stored: IndexedChunk, chain?: Chain): Promise<Uint8Array> {
    const { pack, frame, at, payloadBytes } = stored;
    if (frame.encoding !== 'raw') {
      if (chain !== undefined) this.#cache.addLink(chain, frame.rawBytes);
      return await this.payload(digest, stored);
    }
    const read = (from: number, length: number) => this.#read(digest, pack, frame.offset + from, length);
    const group = { name: `${pack}:${frame.offset}`, bytes: frame.rawBytes, read };
    if (chain === undefined) return await this.#cache.part(group, at, payloadBytes);
    return await this.#cache.chained(group, at, payloadBytes, chain);
  }

  /** `length` bytes at `from` of a payload that {@link isInParts}; the caller's to free. */
  async range(digest: Digest, stored: IndexedChunk, from: number, length: number): Promise<Uint8Array> {
    const { pack, frame, at, payloadBytes } = stored;
    if (from + length > payloadBytes)
      throw damagedChunk(digest, pack, 'it is shorter than what is made from it');
    return await this.#read(digest, pack, frame.offset + at + from, length);
  }

  /** The decoded bytes of a frame, the caller's to free. */
  async readFrame(digest: Digest, pack: string, frame: IndexedChunk['frame']): Promise<Uint8Array> {
    const stored = await this.#read(digest, pack, frame.offset, frame.storedBytes);
    try {
      const raw = await decompress(stored, frame);
      if (raw !== stored) release(stored);
      return raw;
    } catch (error) {
      // Its neighbours cannot be read either: whoever has them still shall be asked for all of them at a time.
      if (this.#index.standing(digest) !== 'suspect') this.#marks.markFrame(pack, frame.offset);
      throw damagedChunk(digest, pack, 'its frame does not decompress', error);
    }
  }

  async #read(digest: Digest, pack: string, offset: number, length: number): Promise<Uint8Array> {
    const part = await this.#store.read(pack, { offset, length });
    if (part === undefined) throw damagedChunk(digest, pack, 'the pack is gone');
    if (part.length !== length) throw damagedChunk(digest, pack, 'the pack is cut off');
    return part;
  }
}

/** Is it not all of its frame? */
function isShared({ frame, payloadBytes }: IndexedChunk): boolean {
  return payloadBytes < frame.rawBytes;
}

/** Can a part of it be read by itself, and is that worth it? So it is where its frame is large, or its own, and not compressed. */
export function isInParts({ frame, payloadBytes }: Pick<IndexedChunk, 'frame' | 'payloadBytes'>): boolean {
  return frame.encoding === 'raw' && (isLargeFrame(frame.rawBytes) || payloadBytes === frame.rawBytes);
}

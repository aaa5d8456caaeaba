import { randomBytes } from 'node:crypto';
import type { Digest } from '../../domain/manifest.ts';
import { collectNow } from '../../domain/release.ts';
import { OverdubError } from '../../errors.ts';
import type { ChunkIndex } from '../chunk-index/chunk-index.ts';
import { PACK_PREFIX } from '../chunk-index/reconcile.ts';
import {
  type NewChunk,
  type PackedBytes,
  PackWriter,
  type PendingChunk,
  type PendingChunks,
  type WholeChunk,
} from '../packs/pack-writer.ts';
import type { PortableStore } from '../store/portable-store.ts';

/** A pack is closed at about this length: large enough for any store, small enough to hold in memory. */
export const PACK_BYTES = 8 * 1024 * 1024;
/**
 * And at about so many chunks, however small: its index is held whole by whoever copies or checks it, some 300 bytes a
 * chunk, and entered into the chunk index in one go, during which nothing else runs.
 */
export const PACK_CHUNKS = 16_384;
/** When memory is short, packs of at least this length are closed early. */
const EARLY_PACK_BYTES = 1024 * 1024;

/** A name that no pack has yet. */
export function packName(): string {
  const id = randomBytes(16).toString('hex');
  return `${PACK_PREFIX}${id.slice(0, 2)}/${id}.pack`;
}

/**
 * The packs of one session: one being filled, others on their way into the store, one after another. A delta's
 * base is never stored later than the delta, because packs become durable in the order they were filled.
 */
export class PackQueue implements PendingChunks {
  readonly #store: PortableStore;
  readonly #index: ChunkIndex;
  readonly #isRelied: () => boolean;
  readonly #names: string[] = [];
  #writer = new PackWriter();
  readonly #leaving = new Set<PackWriter>();
  #tail: Promise<void> = Promise.resolve();
  #stored = 0;
  #failure: { readonly error: unknown } | undefined;
  #dropped = false;

  /** `isRelied`: may anybody else count on what was stored? Unless so, a full store gets it back. */
  constructor(store: PortableStore, index: ChunkIndex, isRelied: () => boolean) {
    this.#store = store;
    this.#index = index;
    this.#isRelied = isRelied;
  }

  /** Bytes of durable packs, and about what is still held. */
  get storedBytes(): number {
    return this.#stored + this.heldBytes;
  }

  get heldBytes(): number {
    let held = this.#writer.heldBytes;
    for (const writer of this.#leaving) held += writer.heldBytes;
    return held;
  }

  append(chunk: NewChunk): void {
    this.assertSound();
    this.#writer.append(chunk);
  }

  appendFrame(frame: PackedBytes, chunks: readonly WholeChunk[]): void {
    this.assertSound();
    this.#writer.appendFrame(frame, chunks);
  }

  find(digest: Digest): PendingChunk | undefined {
    const found = this.#writer.find(digest);
    if (found !== undefined) return found;
    for (const writer of this.#leaving) {
      const leaving = writer.find(digest);
      if (leaving !== undefined) return leaving;
    }
    return undefined;
  }

  /** Sends a full pack off and waits for it; with `memoryIsShort` also a smaller one. */
  async relieve(memoryIsShort: boolean): Promise<void> {
    await this.#writer.settle();
    // Not by what is held: a pack that closes in the middle of a group loses what the group would have saved.
    const isFull = this.#writer.packedBytes >= PACK_BYTES || this.#writer.chunks >= PACK_CHUNKS;
    if (isFull || (memoryIsShort && this.#writer.heldBytes >= EARLY_PACK_BYTES)) await this.flush();
  }

  /** Resolves when everything appended so far is durable and known to others. */
  async flush(): Promise<void> {
    this.#sendOff();
    await this.#tail;
    this.assertSound();
  }

  /** Puts what was filled behind the packs on their way. */
  #sendOff(): void {
    const writer = this.#writer;
    if (writer.chunks === 0) return;
    this.#writer = new PackWriter();
    this.#leaving.add(writer);
    this.#tail = this.#tail.then(() => this.#send(writer));
    this.#tail.catch((error: unknown) => {
      this.#failure ??= { error };
    });
  }

  /** Throws what made an earlier pack fail: its chunks are lost, and others may hang on them. */
  assertSound(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Forgets what is not durable, once what is on its way has arrived. */
  async drop(): Promise<void> {
    this.#dropped = true;
    await this.#tail.catch(() => undefined);
    this.#writer = new PackWriter();
    this.#leaving.clear();
    if (this.#stored >= EARLY_PACK_BYTES) collectNow();
  }

  async #send(writer: PackWriter): Promise<void> {
    if (this.#dropped) return;
    const { pieces, bytes, frames } = await writer.finish();
    const name = packName();
    let isRead: boolean;
    try {
      isRead = await this.#store.write(name, pieces);
    } catch (error) {
      if (error instanceof OverdubError && error.code === 'REPOSITORY_FULL') await this.#giveBack();
      throw error;
    }
    this.#names.push(name);
    this.#index.addPack(name, bytes, frames);
    this.#stored += bytes;
    this.#leaving.delete(writer);
    if (isRead) writer.free();
  }

  /** Nothing of this will be committed: the packs go at once, so that something smaller fits. */
  async #giveBack(): Promise<void> {
    if (this.#isRelied()) return;
    for (const name of this.#names.splice(0)) {
      this.#index.forgetPack(name);
      // The store has said why in the log. Forgotten, it is garbage like any.
      await this.#store.remove(name).catch(() => undefined);
    }
  }
}

import {
  BlobExists,
  BlobNotFound,
  type BlobStat,
  type BlobStore,
  BlobStoreLocked,
  type PutOptions,
} from '../../contracts/blob-store.ts';
import { assertBlobName } from '../../domain/blob-name.ts';
import { collect } from '../collect.ts';

/** The blobs behind one or more {@link MemoryBlobStore}s: what would be the disk. */
export interface MemoryBlobs {
  readonly blobs: Map<string, Uint8Array>;
  holder?: { readonly store: BlobStore; readonly owner: string };
}

/** A conforming blob store in memory. Stores over the same {@link MemoryBlobs} see the same blobs. */
export class MemoryBlobStore implements BlobStore {
  readonly #shared: MemoryBlobs;

  constructor(shared: MemoryBlobs = { blobs: new Map() }) {
    this.#shared = shared;
  }

  async put(
    name: string,
    data: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions = {},
  ): Promise<void> {
    assertBlobName(name);
    options.signal?.throwIfAborted();
    const pieces = data instanceof Uint8Array ? [data] : await collect(data);
    if (options.createOnly === true && this.#shared.blobs.has(name)) throw new BlobExists(name);
    this.#shared.blobs.set(name, Buffer.concat(pieces));
  }

  async get(name: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    assertBlobName(name);
    const bytes = this.#shared.blobs.get(name);
    if (bytes === undefined) throw new BlobNotFound(name);
    if (range === undefined) return Uint8Array.from(bytes);
    return Uint8Array.from(bytes.subarray(range.offset, range.offset + range.length));
  }

  async stat(name: string): Promise<BlobStat | undefined> {
    assertBlobName(name);
    const bytes = this.#shared.blobs.get(name);
    return bytes === undefined ? undefined : { name, bytes: bytes.length };
  }

  async *list(prefix: string): AsyncGenerator<BlobStat> {
    for (const name of [...this.#shared.blobs.keys()].sort()) {
      const bytes = this.#shared.blobs.get(name);
      if (name.startsWith(prefix) && bytes !== undefined) yield { name, bytes: bytes.length };
    }
  }

  async remove(name: string): Promise<void> {
    assertBlobName(name);
    this.#shared.blobs.delete(name);
  }

  async space(): Promise<undefined> {
    return undefined;
  }

  async lock(owner: string): Promise<void> {
    const { holder } = this.#shared;
    if (holder !== undefined && holder.store !== this) throw new BlobStoreLocked(holder.owner);
    this.#shared.holder = { store: this, owner };
  }

  async close(): Promise<void> {
    if (this.#shared.holder?.store === this) delete this.#shared.holder;
  }
}

import type { BlobStat, BlobStore, PutOptions } from '../../contracts/blob-store.ts';

/** Decides about one call: throw to make it fail, or a promise that throws. */
export type Fault = (call: {
  readonly operation: 'put' | 'get' | 'stat' | 'list' | 'remove';
  readonly name: string;
  /** Counts the calls of this operation, from 1. */
  readonly nth: number;
}) => void | Promise<void>;

/** Any blob store, with faults: before each call, `fault` may throw. */
export class FaultyBlobStore implements BlobStore {
  readonly #inner: BlobStore;
  readonly #counts = new Map<string, number>();
  fault: Fault;

  constructor(inner: BlobStore, fault: Fault = () => undefined) {
    this.#inner = inner;
    this.fault = fault;
  }

  async put(name: string, data: Uint8Array | AsyncIterable<Uint8Array>, options?: PutOptions): Promise<void> {
    await this.#before('put', name);
    return this.#inner.put(name, data, options);
  }

  async get(name: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    await this.#before('get', name);
    return this.#inner.get(name, range);
  }

  async stat(name: string): Promise<BlobStat | undefined> {
    await this.#before('stat', name);
    return this.#inner.stat(name);
  }

  async *list(prefix: string): AsyncGenerator<BlobStat> {
    await this.#before('list', prefix);
    yield* this.#inner.list(prefix);
  }

  async remove(name: string): Promise<void> {
    await this.#before('remove', name);
    return this.#inner.remove(name);
  }

  space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number } | undefined> {
    return this.#inner.space();
  }

  lock(owner: string): Promise<void> {
    return this.#inner.lock(owner);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #before(operation: Parameters<Fault>[0]['operation'], name: string): Promise<void> {
    const nth = (this.#counts.get(operation) ?? 0) + 1;
    this.#counts.set(operation, nth);
    await this.fault({ operation, name, nth });
  }
}

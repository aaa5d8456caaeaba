/**
 * Named immutable blobs. Names: `[a-z0-9][a-z0-9._-]*` components joined by `/`, at most 200 bytes.
 * Drivers throw raw; a missing blob is a `BlobNotFound`, a full store a `BlobStoreFull`.
 */
export interface BlobStore {
  /**
   * Atomic and durable before it resolves; never visible in part. Overwrites unless `createOnly`. Keeps nothing of `data`
   * once it has settled: the memory behind it may be freed.
   */
  put(name: string, data: Uint8Array | AsyncIterable<Uint8Array>, options?: PutOptions): Promise<void>;
  /** The bytes, or the asked range of them, in a buffer that is the caller's to free; a range past the end is cut. */
  get(name: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array>;
  stat(name: string): Promise<BlobStat | undefined>;
  /** Every blob whose name begins with `prefix`, in byte order of names. */
  list(prefix: string): AsyncIterable<BlobStat>;
  /** Idempotent: removing what is not there succeeds. */
  remove(name: string): Promise<void>;
  /** Free and total bytes where the store knows them. */
  space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number } | undefined>;
  /** Takes the store's single-writer lock; a second holder gets `BlobStoreLocked`. Released by `close`. */
  lock(owner: string): Promise<void>;
  close(): Promise<void>;
}

export interface PutOptions {
  /** Fails with `BlobExists` when the name is taken. */
  readonly createOnly?: boolean;
  readonly signal?: AbortSignal;
}

export interface BlobStat {
  readonly name: string;
  readonly bytes: number;
}

export class BlobNotFound extends Error {
  constructor(name: string) {
    super(`blob ${name} does not exist`);
    this.name = 'BlobNotFound';
  }
}

export class BlobExists extends Error {
  constructor(name: string) {
    super(`blob ${name} exists already`);
    this.name = 'BlobExists';
  }
}

export class BlobStoreFull extends Error {
  constructor(detail: string, options?: { cause?: unknown }) {
    super(`the blob store is full: ${detail}`, options);
    this.name = 'BlobStoreFull';
  }
}

export class BlobStoreLocked extends Error {
  constructor(holder: string) {
    super(`the blob store is in use by ${holder}`);
    this.name = 'BlobStoreLocked';
  }
}

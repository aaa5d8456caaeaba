/**
 * Signatures of large files, kept by codec and content digest, so that the next change travels as a delta without
 * the old bytes at hand. Only a cache: one that is absent is asked of the appliance, or the file is sent whole; an
 * unreadable one is forgotten, a wrong one makes a delta that the appliance refuses.
 */

import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type ContentRef,
  type DeltaCodec,
  type Digest,
  isDigest,
  type SignatureFeature,
  type SignedBase,
  type StayedRange,
  WIRE_BLOCK_BYTES,
} from '@overdub/core/agent';
import { keepNewest } from './bounded-directory.ts';
import { type PageSummer, PageSums, pageBytesFor } from './page-sums.ts';

/** Smaller files are sent whole: their chunk costs less than the signature. */
export const DELTA_MIN_BYTES: number = 64 * 1024;
/** All signatures together, bytes. */
const STORE_BYTES = 64 * 1024 * 1024;
/** Blocks of one signature at most: larger files get longer blocks, so that memory stays flat. */
const MAX_BLOCKS = 1024 * 1024;

/** Block length for a file: 512 bytes up to half a gigabyte, then doubling with the size. */
export function blockBytesFor(bytes: number): number {
  let block = WIRE_BLOCK_BYTES;
  while (bytes / block > MAX_BLOCKS) block *= 2;
  return block;
}

/** Logs of changes: they repeat what other files hold, and are appended to or written anew, never edited. */
const LOG_LIKE = /(^|\/)(pg_wal|pg_xlog|wal|binlog|redo)(\/|$)|ib_logfile|\.(log|aof|wal)(\.|$)/;

/** Does the path look like a log of changes? Their contents go last, when the others can serve as bases. */
export function isLogLike(path: string): boolean {
  return LOG_LIKE.test(path);
}

/**
 * Is a signature worth its disk and time? What package managers own changes by replacement, seldom in place; there
 * the appliance can be asked. Of a log, what it held before is found by its chunks.
 */
export function worthSigning(path: string, bytes: number): boolean {
  return (
    bytes >= DELTA_MIN_BYTES && !isLogLike(path) && !/^(usr|boot|lib|lib32|lib64|bin|sbin|opt)\//.test(path)
  );
}

/** The codec among these that makes deltas from signatures. */
export function signingCodec(codecs: readonly DeltaCodec[]): DeltaCodec | undefined {
  return codecs.find((codec) => codec.signatures !== undefined);
}

export class SignatureStore {
  readonly #all: string;
  readonly #own: string;
  readonly #dir: string;
  readonly #pages: PageSums;
  readonly feature: SignatureFeature;

  constructor(dir: string, codec: DeltaCodec & { readonly signatures: SignatureFeature }) {
    this.#all = join(dir, 'signatures');
    // A codec cannot read another's: the appliance's configuration may change under a running server.
    this.#own = `${codec.name}-${codec.formatVersion}`;
    this.#dir = join(this.#all, this.#own);
    this.#pages = new PageSums(join(dir, 'page-sums'));
    this.feature = codec.signatures;
  }

  async get(digest: Digest): Promise<Uint8Array | undefined> {
    try {
      return await readFile(join(this.#dir, digest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** See {@link PageSums.stayed}; undefined too where the signature's own blocks are short enough. */
  stayed(before: ContentRef, now: ContentRef, at: number, length: number): StayedRange[] | undefined {
    const pageBytes = pageBytesFor(now.bytes, blockBytesFor(now.bytes));
    return pageBytes === undefined
      ? undefined
      : this.#pages.stayed(before.digest, now.digest, pageBytes, at, length);
  }

  /** The kept signature of a content with what it was made of. */
  async signedBase({ digest, bytes }: ContentRef): Promise<SignedBase | undefined> {
    const signature = await this.get(digest);
    return signature === undefined ? undefined : { signature, baseBytes: bytes };
  }

  /** Passes a file's pieces on and writes their signature; `keep` puts it in place under the digest. */
  async tee(
    source: AsyncIterable<Uint8Array>,
    bytes: number,
    { previous, onStayed }: Earlier,
  ): Promise<SignedStream> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const part = join(this.#dir, `${randomUUID()}.part`);
    const file = await open(part, 'w', 0o600);
    const blockBytes = blockBytesFor(bytes);
    const pageBytes = pageBytesFor(bytes, blockBytes);
    const pages = pageBytes === undefined ? undefined : await this.#pages.begin(pageBytes);
    const pieces = pages === undefined ? source : summed(source, pages);
    return {
      drain: async () => {
        try {
          for await (const piece of this.feature.sign(pieces, {
            sourceBytes: bytes,
            blockBytes,
            ...(previous === undefined ? {} : { previous, onStayed }),
          })) {
            await file.write(piece);
          }
        } finally {
          await file.close();
          await pages?.end();
        }
      },
      keep: async (digest) => {
        await rename(part, join(this.#dir, digest));
        await pages?.keep(digest);
      },
      drop: async () => {
        await rm(part, { force: true });
        await pages?.drop();
      },
    };
  }

  async put(digest: Digest, signature: Uint8Array): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const part = join(this.#dir, `${randomUUID()}.part`);
    const file = await open(part, 'w', 0o600);
    try {
      await file.write(signature);
    } finally {
      await file.close();
    }
    await rename(part, join(this.#dir, digest));
  }

  /** Removes signatures that turned out to be unreadable. */
  async forget(digests: readonly Digest[]): Promise<void> {
    for (const digest of digests) await rm(join(this.#dir, digest), { force: true });
  }

  /** Keeps the signatures of these contents, newest files first, up to the bound; removes all others. */
  async prune(contents: ReadonlyMap<Digest, bigint>): Promise<void> {
    await keepNewest(this.#dir, STORE_BYTES, (name) => (isDigest(name) ? contents.get(name) : undefined));
    for (const other of await readdir(this.#all).catch(() => [] as string[])) {
      if (other !== this.#own) await rm(join(this.#all, other), { recursive: true, force: true });
    }
    await this.#pages.prune(contents);
  }
}

/** What a file held: what did not change of it need not be signed anew. */
export interface Earlier {
  readonly previous: SignedBase | undefined;
  /** See `SignOptions.onStayed`. */
  readonly onStayed: (bytes: number) => void;
}

async function* summed(source: AsyncIterable<Uint8Array>, pages: PageSummer): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    await pages.update(piece);
    yield piece;
  }
}

/** One signature in the making. */
export interface SignedStream {
  /** Reads the source to its end. */
  drain(): Promise<void>;
  keep(digest: Digest): Promise<void>;
  drop(): Promise<void>;
}

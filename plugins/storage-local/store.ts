import { readdir, readFile, rm, stat, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  assertBlobName,
  BlobNotFound,
  type BlobStat,
  type BlobStore,
  BlobStoreFull,
  type PutOptions,
} from '@overdub/core';
import { ensureDirectory, removeDurably } from '@overdub/lib-files';
import { DirectoryLock } from './lock.ts';
import { OpenFiles } from './open-files.ts';
import { isFull, type PutTarget, putFile } from './put.ts';
import { Reserve } from './reserve.ts';

/** Everything of ours lies here; blob names cannot begin with a dot. */
const OWN_DIRECTORY = '.overdub';
const DEFAULT_RESERVE_BYTES = 64 * 1024 * 1024;
/** Blobs this small (commit objects, records) may live off the reserve: pruning writes such. */
const SMALL_BLOB_BYTES = 64 * 1024;

/** There is no file of this name. */
const NO_FILE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'EISDIR']);

export interface LocalStoreOptions {
  /** Disk space kept back, bytes; default 64 MiB. See README. */
  readonly reserveBytes?: number;
}

/** Opens the blob store in `directory`, which is made when missing. Throws raw file-system errors. */
export async function openLocalStore(directory: string, options: LocalStoreOptions = {}): Promise<BlobStore> {
  const root = resolve(directory);
  await ensureDirectory(join(root, OWN_DIRECTORY, 'tmp'));
  return new LocalStore(root, options.reserveBytes ?? DEFAULT_RESERVE_BYTES);
}

class LocalStore implements BlobStore {
  readonly #root: string;
  readonly #temporary: string;
  readonly #lock: DirectoryLock;
  readonly #reserve: Reserve;
  readonly #files = new OpenFiles();

  constructor(root: string, reserveBytes: number) {
    this.#root = root;
    this.#temporary = join(root, OWN_DIRECTORY, 'tmp');
    this.#lock = new DirectoryLock(join(root, OWN_DIRECTORY));
    this.#reserve = new Reserve(join(root, OWN_DIRECTORY, 'reserve'), reserveBytes);
  }

  async put(
    name: string,
    data: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions = {},
  ): Promise<void> {
    const target = { name, path: this.#path(name), temporary: this.#temporary };
    try {
      await this.#put(target, data, options);
    } finally {
      await this.#files.leave(target.path);
    }
  }

  async #put(
    target: PutTarget,
    data: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<void> {
    try {
      await putFile(target, data, options);
    } catch (error) {
      if (!isFull(error)) throw error;
      const small = data instanceof Uint8Array && data.length <= SMALL_BLOB_BYTES;
      if (!small || !(await this.#reserve.release())) {
        throw new BlobStoreFull(`no space left below ${this.#root}`, { cause: error });
      }
      await putFile(target, data, options).catch((again: unknown) => {
        throw isFull(again)
          ? new BlobStoreFull(`no space left below ${this.#root}`, { cause: again })
          : again;
      });
    }
  }

  async get(name: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    const path = this.#path(name);
    try {
      if (range !== undefined) return await this.#files.read(path, range.offset, range.length);
      return await readFile(path);
    } catch (error) {
      const isNoFile = NO_FILE.has((error as NodeJS.ErrnoException).code);
      throw isNoFile ? new BlobNotFound(name) : error;
    }
  }

  async stat(name: string): Promise<BlobStat | undefined> {
    const found = await stat(this.#path(name)).catch(absent);
    return found?.isFile() ? { name, bytes: found.size } : undefined;
  }

  list(prefix: string): AsyncIterable<BlobStat> {
    return this.#listBelow('', prefix);
  }

  async remove(name: string): Promise<void> {
    const path = this.#path(name);
    try {
      await removeDurably(path);
    } catch (error) {
      if (!isFull(error) || !(await this.#reserve.release())) throw error;
      await removeDurably(path);
    } finally {
      await this.#files.leave(path);
    }
    await this.#reserve.refill();
  }

  async space(): Promise<{ freeBytes: number; totalBytes: number }> {
    const { bavail, blocks, bsize } = await statfs(this.#root);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  async lock(owner: string): Promise<void> {
    await this.#lock.take(owner);
    // What a killed holder left half-written; nobody but the holder writes here.
    for (const left of await readdir(this.#temporary)) await rm(join(this.#temporary, left), { force: true });
    await this.#reserve.refill();
  }

  async close(): Promise<void> {
    await this.#files.close();
    await this.#lock.release();
  }

  #path(name: string): string {
    assertBlobName(name);
    return join(this.#root, name);
  }

  /** `/` sorts behind `-` and `.` and before every other byte a name may hold: so must directories. */
  async *#listBelow(directory: string, prefix: string): AsyncGenerator<BlobStat> {
    const found = await readdir(join(this.#root, directory), { withFileTypes: true }).catch(absent);
    const names = (found ?? [])
      .filter((entry) => !entry.name.startsWith('.'))
      .map((entry) => `${directory}${entry.name}${entry.isDirectory() ? '/' : ''}`)
      .sort((a, b) => (a < b ? -1 : 1));
    for (const name of names) {
      const isDirectory = name.endsWith('/');
      if (isDirectory && (name.startsWith(prefix) || prefix.startsWith(name))) {
        yield* this.#listBelow(name, prefix);
      } else if (!isDirectory && name.startsWith(prefix)) {
        const blob = await this.stat(name);
        if (blob !== undefined) yield blob;
      }
    }
  }
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (NO_FILE.has(error.code)) return undefined;
  throw error;
}

import { type FileHandle, open, readdir, rm, stat, statfs } from 'node:fs/promises';
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
import { isFull, putFile } from './put.ts';
import { Reserve } from './reserve.ts';

/** Everything of ours lies here; blob names cannot begin with a dot. */
const OWN_DIRECTORY = '.overdub';
const DEFAULT_RESERVE_BYTES = 64 * 1024 * 1024;
/** Blobs this small (commit objects, records) may live off the reserve: pruning writes such. */
const SMALL_BLOB_BYTES = 64 * 1024;

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
    const file = await open(this.#path(name), 'r').catch(absent);
    if (file === undefined) throw new BlobNotFound(name);
    try {
      // Of a part nobody has to know how long the file is: one call less of four, of which there are thousands.
      if (range !== undefined) return await readFully(file, range.offset, range.length);
      const found = await file.stat();
      if (!found.isFile()) throw new BlobNotFound(name);
      return await readFully(file, 0, found.size);
    } catch (error) {
      throw (error as NodeJS.ErrnoException).code === 'EISDIR' ? new BlobNotFound(name) : error;
    } finally {
      await file.close();
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

async function readFully(file: FileHandle, start: number, length: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, start + done);
    if (bytesRead === 0) return bytes.subarray(0, done);
    done += bytesRead;
  }
  return bytes;
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}

/** A file without a name: the system removes it with its last handle, so that a crash leaves nothing behind. */

import { randomUUID } from 'node:crypto';
import { readSync } from 'node:fs';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** So little comes sooner than another thread could be woken for it, from what was written a moment ago. */
const SHORT_READ = 128 * 1024;

/** Made at the first use; of no use once it is closed. Failures are the system's own. */
export class UnnamedFile {
  readonly #dir: string;
  #file: Promise<FileHandle> | undefined;
  /** The same, once it is there and as long as it is open. */
  #handle: FileHandle | undefined;
  #closed = false;

  /** `dir`: where the bytes go; made if need be, for this user alone. */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Writes all of `bytes` at `offset`. */
  async put(bytes: Uint8Array, offset: number): Promise<void> {
    const file = await this.#open();
    for (let done = 0; done < bytes.length; ) {
      done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
    }
  }

  /** Fills `into` from `offset` on; fewer bytes at the end of the file. The view that was filled. */
  async read(into: Uint8Array, offset: number): Promise<Uint8Array> {
    const file = await this.#open();
    const short = this.readNow(into, offset);
    if (short !== undefined) return into.subarray(0, short);
    const { bytesRead } = await file.read(into, 0, into.length, offset);
    return into.subarray(0, bytesRead);
  }

  /** As {@link read}, at once: how many bytes; undefined where they are many, or nothing was put yet. */
  readNow(into: Uint8Array, offset: number): number | undefined {
    if (this.#handle === undefined || into.length > SHORT_READ) return undefined;
    return readSync(this.#handle.fd, into, 0, into.length, offset);
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#handle = undefined;
    this.#closed = true;
    await (await file?.catch(() => undefined))?.close();
  }

  async #open(): Promise<FileHandle> {
    if (this.#closed) throw new Error('the file was closed');
    this.#file ??= openUnnamed(this.#dir);
    const handle = await this.#file;
    if (!this.#closed) this.#handle = handle;
    return handle;
  }
}

async function openUnnamed(dir: string): Promise<FileHandle> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, `unnamed-${randomUUID()}`);
  const file = await open(path, 'wx+', 0o600);
  await rm(path);
  return file;
}

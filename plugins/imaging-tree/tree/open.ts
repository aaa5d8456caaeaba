/** Random access to a file of a tree. */

import { closeSync, constants, fstatSync, read as readCallback, readSync } from 'node:fs';
import { promisify } from 'node:util';
import type { FileStamp, RandomReader } from '@overdub/core/agent';
import { OverdubError } from '@overdub/core/agent';
import { openBeneath, openRoot } from './beneath.ts';
import { stampOf, statOpen } from './stat.ts';

const readAt = promisify(readCallback);
/** So little comes sooner than another thread could be woken for it. */
const SHORT_READ = 128 * 1024;

/** A file that is open for reading; its length is that of the moment it was opened. */
export type OpenFile = RandomReader & { stamp(): Promise<FileStamp>; close(): Promise<void> };

/** Opens a regular file below `root`, never through a symbolic link. INPUT_INVALID for anything else. */
export async function openFile(root: string, path: string): Promise<OpenFile> {
  const rootFd = openRoot(root);
  try {
    return openFileBelow(rootFd, path);
  } finally {
    closeSync(rootFd);
  }
}

/** As {@link openFile}, below an open directory. */
export function openFileBelow(rootFd: number, path: string): OpenFile {
  // Without O_NONBLOCK a FIFO that took the file's place would hold us for ever.
  const fd = openBeneath(rootFd, path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    closeSync(fd);
    throw new OverdubError('INPUT_INVALID', `${path} is not a regular file.`, 'Name a regular file.');
  }
  return new FileReader(fd, stat.size);
}

class FileReader implements OpenFile {
  readonly bytes: number;
  readonly #fd: number;
  #open = true;

  constructor(fd: number, bytes: number) {
    this.#fd = fd;
    this.bytes = bytes;
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const wanted = Math.max(0, Math.min(length, this.bytes - offset));
    const buffer = into === undefined ? Buffer.allocUnsafe(wanted) : into;
    let filled = 0;
    while (filled < wanted) {
      const bytesRead = await this.#readSome(buffer, filled, wanted - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  #readSome(buffer: Uint8Array, at: number, length: number, offset: number): number | Promise<number> {
    if (length <= SHORT_READ) return readSync(this.#fd, buffer, at, length, offset);
    return readAt(this.#fd, buffer, at, length, offset).then(({ bytesRead }) => bytesRead);
  }

  async stamp(): Promise<FileStamp> {
    // What an open file's inode says is in memory: a trip to another thread costs ten times as much.
    return stampOf(statOpen(this.#fd));
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }
}

/** Random access to a file of a tree. */

import { closeSync, constants, fstatSync, read as readCallback, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { type FileStamp, OverdubError, type TreeFile, type TreeReader } from '@overdub/core/agent';
import { openBeneath, openRoot } from './beneath.ts';
import { stampOf, statOpen } from './stat.ts';

const readAt = promisify(readCallback);
/** So little comes sooner than another thread could be woken for it. */
const SHORT_READ = 128 * 1024;

/** Nothing of it waits, but what is read in large pieces. */
interface LocalTree extends TreeReader {
  open(path: string): LocalFile;
}

/** See {@link TreeReader}: through one handle of the root. */
export function openTree(root: string): LocalTree {
  const rootFd = openRoot(root);
  let isOpen = true;
  return {
    open(path) {
      // Its number may be another directory's by now.
      if (!isOpen) throw new TypeError('the tree has been closed');
      return openFileBelow(rootFd, path);
    },
    close() {
      if (isOpen) closeSync(rootFd);
      isOpen = false;
    },
  };
}

/** One file alone; see {@link openTree}. */
export function openFile(root: string, path: string): LocalFile {
  const tree = openTree(root);
  try {
    return tree.open(path);
  } finally {
    tree.close();
  }
}

/** As {@link openFile}, below an open directory. */
export function openFileBelow(rootFd: number, path: string): LocalFile {
  // Without O_NONBLOCK a FIFO that took the file's place would hold us for ever.
  const fd = openBeneath(rootFd, path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    closeSync(fd);
    throw new OverdubError('INPUT_INVALID', `${path} is not a regular file.`, 'Name a regular file.');
  }
  return new LocalFile(fd, stat.size);
}

/** A {@link TreeFile} by its handle. */
export class LocalFile implements TreeFile {
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

  /** See `RandomReader`: false for more than a short read. */
  readNow(offset: number, into: Uint8Array): boolean {
    if (into.length > SHORT_READ) return false;
    for (let filled = 0; filled < into.length; ) {
      const bytesRead = readSync(this.#fd, into, filled, into.length - filled, offset + filled);
      if (bytesRead === 0) return false;
      filled += bytesRead;
    }
    return true;
  }

  #readSome(buffer: Uint8Array, at: number, length: number, offset: number): number | Promise<number> {
    if (length <= SHORT_READ) return readSync(this.#fd, buffer, at, length, offset);
    return readAt(this.#fd, buffer, at, length, offset).then(({ bytesRead }) => bytesRead);
  }

  stamp(): FileStamp {
    // What an open file's inode says is in memory: a trip to another thread costs ten times as much.
    return stampOf(statOpen(this.#fd));
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }
}

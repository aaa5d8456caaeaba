import { close, open, read } from 'node:fs';
import { promisify } from 'node:util';

const openAsync = promisify(open);
const readAsync = promisify(read);
const closeAsync = promisify(close);

/** Open at a time besides those that are being read: a chunk that is made from others is read out of several packs by turns. */
const KEPT_FILES = 64;
/** No longer than this: what somebody else does to a file is to be seen. After so long without a read all are closed. */
const KEPT_MS = 1000;

interface OpenFile {
  readonly opened: Promise<number>;
  readonly sinceMs: number;
  /** Known once it is open. */
  fd: number | undefined;
  readers: number;
  /** Nobody is to find it any more; whoever reads it last closes it. */
  isLeft: boolean;
}

/**
 * Files of which parts are read, one part after another: opening and closing takes twice as long as reading from the page cache.
 * Who removes or replaces one says so; where somebody else does, its old bytes are read for a second at most.
 */
export class OpenFiles {
  /** By path; what was read last is last. */
  readonly #files = new Map<string, OpenFile>();
  #idle: NodeJS.Timeout | undefined;

  /** As many of the bytes as there are. Throws raw file-system errors. */
  async read(path: string, offset: number, length: number): Promise<Uint8Array> {
    const file = this.#find(path);
    file.readers += 1;
    try {
      return await readFully(await file.opened, offset, length);
    } catch (error) {
      // Perhaps it is only this opening of it that is bad (ESTALE).
      if (this.#files.get(path) === file) this.leave(path);
      throw error;
    } finally {
      file.readers -= 1;
      await closeUnused(file);
      this.#closeWhenIdle();
    }
  }

  /** Closes all; those that are being read, afterwards. */
  async close(): Promise<void> {
    clearTimeout(this.#idle);
    this.#idle = undefined;
    await Promise.all([...this.#files.keys()].map((path) => this.leave(path)));
  }

  #find(path: string): OpenFile {
    const kept = this.#files.get(path);
    const nowMs = performance.now();
    if (kept !== undefined && nowMs - kept.sinceMs < KEPT_MS) {
      this.#files.delete(path);
      this.#files.set(path, kept);
      return kept;
    }
    // Those that nobody reads any more as well, while others are.
    for (const [old, { sinceMs }] of this.#files) if (nowMs - sinceMs >= KEPT_MS) this.leave(old);
    const opened = openAsync(path, 'r');
    const file: OpenFile = { opened, sinceMs: nowMs, fd: undefined, readers: 0, isLeft: false };
    this.#files.set(path, file);
    opened.then(
      (fd) => {
        file.fd = fd;
      },
      // Whoever reads it is told.
      () => this.#files.get(path) === file && this.#files.delete(path),
    );
    const [oldest] = this.#files.keys();
    if (this.#files.size > KEPT_FILES && oldest !== undefined) this.leave(oldest);
    return file;
  }

  /** From now on the path is opened anew. Resolves once it is closed, or left to who still reads it. */
  async leave(path: string): Promise<void> {
    const file = this.#files.get(path);
    if (file === undefined) return;
    this.#files.delete(path);
    file.isLeft = true;
    await closeUnused(file);
  }

  #closeWhenIdle(): void {
    if (this.#idle !== undefined) {
      this.#idle.refresh();
      return;
    }
    this.#idle = setTimeout(() => this.close(), KEPT_MS).unref();
  }
}

async function closeUnused(file: OpenFile): Promise<void> {
  if (!file.isLeft || file.readers > 0 || file.fd === undefined) return;
  const { fd } = file;
  file.fd = undefined;
  // A file that was only read loses nothing by a close that fails.
  await closeAsync(fd).catch(() => undefined);
}

async function readFully(fd: number, start: number, length: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await readAsync(fd, bytes, done, length - done, start + done);
    if (bytesRead === 0) return bytes.subarray(0, done);
    done += bytesRead;
  }
  return bytes;
}

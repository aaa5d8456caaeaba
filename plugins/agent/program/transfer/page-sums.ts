/**
 * Which pages of a very large file were edited in place. The blocks of its signature are long, so that an index over them
 * fits in memory: by them alone an edited page would travel with all of its block. These sums are of pages, lie in a file
 * and are compared place by place, in memory for one chunk. Only a cache: absent, the blocks decide; wrong, the delta
 * makes other bytes, and the appliance refuses it.
 */

import { hash, randomUUID } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, isDigest, type StayedRange } from '@overdub/core/agent';
import { keepNewest } from './bounded-directory.ts';

/** What databases and filesystems write in one. */
const SMALLEST_PAGE = 4096;
/** Sums of one file at most, so 128 MiB of disk: larger files get longer pages. */
const MAX_PAGES = 16 * 1024 * 1024;
/** Kept of each page's SHA-256, bytes: pages of one place are compared, and a mistake is found out. */
const SUM_BYTES = 8;
/** All files together, bytes. */
const STORE_BYTES = 512 * 1024 * 1024;
const WRITE_BYTES = 64 * 1024;

/** Page length for a file; undefined where `blockBytes`, those of its signature, are as short. */
export function pageBytesFor(bytes: number, blockBytes: number): number | undefined {
  let page = SMALLEST_PAGE;
  while (bytes / page > MAX_PAGES) page *= 2;
  return page < blockBytes ? page : undefined;
}

export class PageSums {
  readonly #dir: string;

  /** `dir`: holds nothing else. */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Takes a file's bytes in order. */
  async begin(pageBytes: number): Promise<PageSummer> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const part = join(this.#dir, `${randomUUID()}.part`);
    return new PageSummer(await open(part, 'w', 0o600), part, this.#dir, pageBytes);
  }

  /**
   * Of the `length` bytes at `at` of the content `now` those that are where they were in `before`, ascending; undefined
   * when one of them has no sums of pages of this length.
   */
  stayed(
    before: Digest,
    now: Digest,
    pageBytes: number,
    at: number,
    length: number,
  ): StayedRange[] | undefined {
    const first = Math.floor(at / pageBytes);
    const pages = Math.ceil((at + length) / pageBytes) - first;
    const old = readSums(this.#pathOf(before, pageBytes), first, pages);
    const young = readSums(this.#pathOf(now, pageBytes), first, pages);
    if (old === undefined || young === undefined) return undefined;
    const ranges: { from: number; to: number }[] = [];
    for (let page = 0; page < pages; page++) {
      const place = [page * SUM_BYTES, (page + 1) * SUM_BYTES] as const;
      if (place[1] > old.length || place[1] > young.length) break;
      if (old.compare(young, ...place, ...place) !== 0) continue;
      const from = Math.max(0, (first + page) * pageBytes - at);
      const to = Math.min(length, (first + page + 1) * pageBytes - at);
      const last = ranges.at(-1);
      if (last?.to === from) last.to = to;
      else ranges.push({ from, to });
    }
    return ranges;
  }

  /** Keeps the sums of these contents, newest files first, up to the bound; removes all others. */
  async prune(contents: ReadonlyMap<Digest, bigint>): Promise<void> {
    await keepNewest(this.#dir, STORE_BYTES, (name) => contents.get(digestIn(name) ?? ''));
  }

  #pathOf(digest: Digest, pageBytes: number): string {
    return join(this.#dir, nameOf(digest, pageBytes));
  }
}

/** The sums of one file in the making. */
export class PageSummer {
  readonly #file: FileHandle;
  readonly #part: string;
  readonly #dir: string;
  readonly #pageBytes: number;
  readonly #held: Buffer;
  #heldBytes = 0;
  readonly #out = Buffer.allocUnsafe(WRITE_BYTES);
  #filled = 0;

  constructor(file: FileHandle, part: string, dir: string, pageBytes: number) {
    this.#file = file;
    this.#part = part;
    this.#dir = dir;
    this.#pageBytes = pageBytes;
    this.#held = Buffer.allocUnsafe(pageBytes);
  }

  /** Keeps nothing of `piece` when it resolves. */
  async update(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + this.#pageBytes - this.#heldBytes);
      at += part.length;
      if (part.length === this.#pageBytes) await this.#add(part);
      else {
        this.#held.set(part, this.#heldBytes);
        this.#heldBytes += part.length;
        if (this.#heldBytes === this.#pageBytes) await this.#endHeld();
      }
    }
  }

  /** Ends the file, whatever was kept of it. */
  async end(): Promise<void> {
    if (this.#heldBytes > 0) await this.#endHeld();
    await this.#write();
    await this.#file.close();
  }

  keep(digest: Digest): Promise<void> {
    return rename(this.#part, join(this.#dir, nameOf(digest, this.#pageBytes)));
  }

  /** Removes what was not kept. */
  drop(): Promise<void> {
    return rm(this.#part, { force: true });
  }

  async #endHeld(): Promise<void> {
    const page = this.#held.subarray(0, this.#heldBytes);
    this.#heldBytes = 0;
    await this.#add(page);
  }

  async #add(page: Uint8Array): Promise<void> {
    hash('sha256', page, 'buffer').copy(this.#out, this.#filled, 0, SUM_BYTES);
    this.#filled += SUM_BYTES;
    if (this.#filled === this.#out.length) await this.#write();
  }

  async #write(): Promise<void> {
    for (let done = 0; done < this.#filled; ) {
      done += (await this.#file.write(this.#out, done, this.#filled - done)).bytesWritten;
    }
    this.#filled = 0;
  }
}

/** Pages of another length are never compared. */
function nameOf(digest: Digest, pageBytes: number): string {
  return `${digest}-${pageBytes}`;
}

function digestIn(name: string): Digest | undefined {
  const digest = name.split('-')[0];
  return isDigest(digest) ? digest : undefined;
}

/** Sums from page `first` on, fewer at the file's end; undefined when there are none. */
function readSums(path: string, first: number, pages: number): Buffer | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const sums = Buffer.allocUnsafe(pages * SUM_BYTES);
    return sums.subarray(0, readSync(file, sums, 0, sums.length, first * SUM_BYTES));
  } finally {
    closeSync(file);
  }
}

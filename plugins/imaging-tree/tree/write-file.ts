/** Puts one file in place: a new file beside it, checked while it is written, then renamed over it. */

import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  ftruncateSync,
  linkSync,
  openSync,
  renameSync,
  statfsSync,
  symlinkSync,
  unlinkSync,
  write as writeCallback,
  writeSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { type ContentRef, type Entry, OverdubError } from '@overdub/core/agent';
import { within } from './beneath.ts';
import { errorCode, makeNode } from './libc.ts';
import { setFileMetadata, setMetadata } from './metadata.ts';
import { fsPath, toRaw } from './names.ts';

/**
 * Temporary names. They are not excluded from scans: what an interrupted run left is seen by the next one's scan
 * and removed, since no target has it.
 */
export const TEMPORARY_PREFIX = '.overdub-new-';
/** A copy beside the old file needs this much more than its own length. */
const HEADROOM = 16 * 1024 * 1024;
const BLOCK = 4096;
const SHORT_WRITE = 128 * 1024;
const ZEROS = Buffer.alloc(BLOCK);
const writeAt = promisify(writeCallback);
const OURS = `${TEMPORARY_PREFIX}${process.pid}-${Date.now().toString(36)}-`;
let counter = 0;

export function temporaryName(): string {
  counter += 1;
  return `${OURS}${counter}`;
}

/** Whether `bytes` more fit beside what the filesystem of an open directory holds now. */
export function fitsBeside(dirfd: number, bytes: number): boolean {
  if (bytes < BLOCK * 16) return true;
  const { bavail, bsize } = statfsSync(within(dirfd, ''));
  return bavail * bsize >= bytes + HEADROOM;
}

/**
 * Writes a regular file's content and metadata under a temporary name and renames it to `name`. Rejects with
 * REPOSITORY_DAMAGED, the old file untouched, when the bytes do not match the digest.
 */
export async function writeFile(
  dirfd: number,
  name: string,
  entry: Entry & { readonly content: ContentRef },
  bytes: AsyncIterable<Uint8Array>,
  onBytes: (count: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const temporary = within(dirfd, temporaryName());
  const fd = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    await writeContent(fd, entry, bytes, onBytes, signal);
    setFileMetadata(fd, entry);
    renameSync(temporary, fsPath(within(dirfd, toRaw(name))));
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  } finally {
    closeSync(fd);
  }
}

async function writeContent(
  fd: number,
  entry: Entry & { readonly content: ContentRef },
  bytes: AsyncIterable<Uint8Array>,
  onBytes: (count: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const piece of bytes) {
    signal.throwIfAborted();
    hash.update(piece);
    if (length + piece.length > entry.content.bytes) throw damaged(entry, 'is longer than announced');
    if (entry.sparse === true) await writeSparse(fd, piece, length);
    else await writeAll(fd, piece, length);
    length += piece.length;
    onBytes(piece.length);
  }
  if (length !== entry.content.bytes) throw damaged(entry, `ended after ${length} bytes`);
  if (hash.digest('hex') !== entry.content.digest) throw damaged(entry, 'does not match its digest');
  if (entry.sparse === true) ftruncateSync(fd, length);
}

function damaged(entry: Entry, why: string): OverdubError {
  return new OverdubError(
    'REPOSITORY_DAMAGED',
    `The content that arrived for ${entry.path} ${why}; the file was not replaced.`,
    'Run it again; if it happens again, run `overdub verify` on the appliance.',
  );
}

async function writeAll(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  // A few pages go into the page cache sooner than another thread could be woken for them.
  if (bytes.length <= SHORT_WRITE && writeSync(fd, bytes, 0, bytes.length, position) === bytes.length) return;
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await writeAt(fd, bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** Leaves out blocks of zeros, aligned in the file, so that they stay holes. */
async function writeSparse(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  let from = 0;
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + BLOCK - ((position + at) % BLOCK));
    const block = bytes.subarray(at, end);
    if (ZEROS.compare(block, 0, block.length, 0, block.length) === 0) {
      if (from < at) await writeAll(fd, bytes.subarray(from, at), position + from);
      from = end;
    }
    at = end;
  }
  if (from < bytes.length) await writeAll(fd, bytes.subarray(from), position + from);
}

/** Makes anything but files, directories and hard links under a temporary name and renames it to `name`. */
export function writeSpecial(dirfd: number, name: string, entry: Entry): void {
  replace(dirfd, name, (temporary) => {
    if (entry.type === 'symlink') symlinkSync(fsPath(toRaw(entry.target ?? '')), temporary);
    else makeNode(temporary, nodeMode(entry), entry.device?.major ?? 0, entry.device?.minor ?? 0);
    setMetadata(temporary, entry);
  });
}

function nodeMode(entry: Entry): number {
  const kind = entry.type === 'character' ? 0o020000 : entry.type === 'block' ? 0o060000 : 0o010000;
  return kind | 0o600;
}

/** Links `source` (a path through a handle) as `name`, replacing what is there. */
export function writeLink(dirfd: number, name: string, source: string): void {
  replace(dirfd, name, (temporary) => linkSync(fsPath(source), temporary));
}

function replace(dirfd: number, name: string, make: (temporary: string) => void): void {
  const temporary = within(dirfd, temporaryName());
  try {
    make(temporary);
    renameSync(temporary, fsPath(within(dirfd, toRaw(name))));
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch (second) {
      if (errorCode(second) !== 'ENOENT') throw second;
    }
    throw error;
  }
}

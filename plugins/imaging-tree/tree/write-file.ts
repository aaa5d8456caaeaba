/** Puts one file in place: a new file beside it, checked while it is written unless that was done, then renamed over it. */

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
import { threadId } from 'node:worker_threads';
import {
  type ContentRef,
  type ContentStream,
  type Digest,
  digestOf,
  type Entry,
  type FileStamp,
  OverdubError,
} from '@overdub/core/agent';
import { within } from './beneath.ts';
import { errorCode, makeNode } from './libc.ts';
import { type Metadata, setFileOwnerAndMode, setFileRest, setMetadata } from './metadata.ts';
import { fsPath, toRaw } from './names.ts';
import { type FileStat, stampOf, statOpen } from './stat.ts';

/**
 * Temporary names. They are not excluded from scans: what an interrupted run left is seen by the next one's scan
 * and removed, since no target has it.
 */
export const TEMPORARY_PREFIX = '.overdub-new-';
/** A copy beside the old file needs this much more than its own length. */
const HEADROOM = 16 * 1024 * 1024;
const BLOCK = 4096;
/** What is written at once, at most. */
export const SHORT_WRITE: number = 128 * 1024;
const ZEROS = Buffer.alloc(BLOCK);
const writeAt = promisify(writeCallback);
const OURS = `${TEMPORARY_PREFIX}${process.pid}-${threadId}-${Date.now().toString(36)}-`;
/** Asked for once: each time would cost as much as making the file's name. */
const OWNER = { uid: process.geteuid?.(), gid: process.getegid?.() };
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

export interface FileJob {
  readonly entry: Entry & { readonly content: ContentRef };
  readonly bytes: ContentStream;
  readonly onBytes: (count: number) => void;
  readonly signal: AbortSignal;
  /** Nobody minds when it appears before it is whole. */
  readonly plainly: boolean;
}

/**
 * Writes a regular file's content and metadata under a temporary name and renames it to `name`; `plainly` under that name at
 * once, where nothing has it yet. Rejects with REPOSITORY_DAMAGED, the old file untouched, when the bytes have another length,
 * or another digest where nobody compared it. Resolves to the file's stamp; undefined when somebody else wrote to it meanwhile.
 */
export async function writeFile(dirfd: number, name: string, job: FileJob): Promise<FileStamp | undefined> {
  const wanted = wantedOf(job);
  const file = create(dirfd, name, wanted);
  try {
    await writeContent(file.fd, job);
    return finish(file, wanted);
  } catch (error) {
    discard(file.made);
    throw error;
  } finally {
    closeSync(file.fd);
  }
}

/** A file as it shall be, but for what is in it. */
export interface WantedFile extends Metadata {
  readonly bytes: number;
  /** As of {@link FileJob}. */
  readonly plainly: boolean;
}

/** As {@link writeFile}, with {@link checkedShort} bytes: at once, since to wait for them costs more than to write them. */
export function writeShortFile(
  dirfd: number,
  name: string,
  wanted: WantedFile,
  bytes: Uint8Array,
): FileStamp | undefined {
  const file = create(dirfd, name, wanted);
  try {
    for (let done = 0; done < bytes.length; )
      done += writeSync(file.fd, bytes, done, bytes.length - done, done);
    return finish(file, wanted);
  } catch (error) {
    discard(file.made);
    throw error;
  } finally {
    closeSync(file.fd);
  }
}

/**
 * The bytes of a file that is written at once, where they are at hand; undefined where they are not, or are many. Throws
 * REPOSITORY_DAMAGED as {@link writeFile} rejects, and the signal's reason.
 */
export function checkedShort({ entry, bytes, onBytes, signal }: FileJob): Uint8Array | undefined {
  const { atHand } = bytes;
  if (atHand === undefined || atHand.length > SHORT_WRITE || entry.sparse === true) return undefined;
  signal.throwIfAborted();
  assertLength(entry, atHand.length);
  if (bytes.verified !== true) assertDigest(entry, digestOf(atHand));
  onBytes(atHand.length);
  return atHand;
}

/** Nothing else of it: it may be told to another thread. */
export function wantedOf({ entry, plainly }: FileJob): WantedFile {
  const { type, mode, uid, gid, mtimeNs, xattrs, content } = entry;
  const some = xattrs === undefined ? {} : { xattrs };
  return { type, mode, uid, gid, mtimeNs, ...some, bytes: content.bytes, plainly };
}

interface NewFile {
  readonly fd: number;
  /** Where it was made, and where it shall be. */
  readonly made: ReturnType<typeof fsPath>;
  readonly named: ReturnType<typeof fsPath>;
  /** Was it made with the owner and the mode that it shall have? */
  readonly isMadeRight: boolean;
}

/** Of its own name if it may be seen at once and nothing has that name, else of a temporary one. */
function create(dirfd: number, name: string, wanted: WantedFile): NewFile {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
  const named = fsPath(within(dirfd, toRaw(name)));
  const { plainly, mode } = wanted;
  const isMadeRight = plainly && mode <= 0o777 && isOurs(wanted);
  if (plainly) {
    try {
      const fd = openSync(named, flags, isMadeRight ? mode : 0o600);
      return { fd, made: named, named, isMadeRight };
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
    }
  }
  const made = within(dirfd, temporaryName());
  return { fd: openSync(made, flags, 0o600), made, named, isMadeRight: false };
}

/** Is its owner who makes it? A program that changes its own would find its files made right all the same, by one look more. */
function isOurs({ uid, gid }: Metadata): boolean {
  return uid === OWNER.uid && gid === OWNER.gid;
}

/** All is written: its metadata, its name. */
function finish(file: NewFile, wanted: WantedFile): FileStamp | undefined {
  const { fd, made, named, isMadeRight } = file;
  if (!isMadeRight) setFileOwnerAndMode(fd, wanted);
  setFileRest(fd, wanted);
  if (made !== named) renameSync(made, named);
  const stat = statOpen(fd);
  // The umask may have taken something away, the directory have given its group or its default ACL.
  if (isMadeRight && !hasOwnerAndMode(stat, wanted)) return finish({ ...file, isMadeRight: false }, wanted);
  const isAsWanted =
    stat.size === wanted.bytes && stat.mtimeNs === wanted.mtimeNs && hasOwnerAndMode(stat, wanted);
  return isAsWanted ? stampOf(stat) : undefined;
}

function hasOwnerAndMode({ mode, uid, gid }: FileStat, wanted: Metadata): boolean {
  return (mode & 0o7777) === wanted.mode && uid === wanted.uid && gid === wanted.gid;
}

async function writeContent(fd: number, { entry, bytes, onBytes, signal }: FileJob): Promise<void> {
  const hash = bytes.verified === true ? undefined : createHash('sha256');
  let length = 0;
  for await (const piece of bytes) {
    signal.throwIfAborted();
    hash?.update(piece);
    if (length + piece.length > entry.content.bytes) throw damaged(entry, 'is longer than announced');
    if (entry.sparse === true) await writeSparse(fd, piece, length);
    else await writeAll(fd, piece, length);
    length += piece.length;
    onBytes(piece.length);
  }
  assertLength(entry, length);
  if (hash !== undefined) assertDigest(entry, hash.digest('hex'));
  if (entry.sparse === true) ftruncateSync(fd, length);
}

function assertLength(entry: FileJob['entry'], bytes: number): void {
  if (bytes !== entry.content.bytes) throw damaged(entry, `ended after ${bytes} bytes`);
}

function assertDigest(entry: FileJob['entry'], digest: Digest): void {
  if (digest !== entry.content.digest) throw damaged(entry, 'does not match its digest');
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

/** What is no file, no directory and no hard link. */
export type SpecialEntry = Metadata & Pick<Entry, 'target' | 'device'>;

/**
 * Makes anything but files, directories and hard links under a temporary name and renames it to `name`; `plainly` under that name at once,
 * where nothing has it yet.
 */
export function writeSpecial(dirfd: number, name: string, entry: SpecialEntry, plainly: boolean): void {
  const make = (at: string) => {
    if (entry.type === 'symlink') symlinkSync(fsPath(toRaw(entry.target ?? '')), fsPath(at));
    else makeNode(at, nodeMode(entry), entry.device?.major ?? 0, entry.device?.minor ?? 0);
    setMetadata(at, entry);
  };
  if (!plainly || !isMade(within(dirfd, toRaw(name)), make)) replace(dirfd, name, make);
}

/** Makes it where nothing is: false where something is. */
function isMade(at: string, make: (at: string) => void): boolean {
  try {
    make(at);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    discard(fsPath(at));
    throw error;
  }
}

function nodeMode(entry: Metadata): number {
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
    discard(temporary);
    throw error;
  }
}

/** Removes what could not be finished, unless it has its final name already. */
function discard(made: Parameters<typeof unlinkSync>[0]): void {
  try {
    unlinkSync(made);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

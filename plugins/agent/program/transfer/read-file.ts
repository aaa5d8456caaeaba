/** Reads one file once: whole digest, chunk list and, where it pays, its signature; notices changes on the way. */

import { createHash } from 'node:crypto';
import {
  CHUNK_LIMITS,
  ContentHasher,
  type ContentRef,
  type FileStamp,
  type RandomReader,
  type TreeFile,
  type TreeReader,
} from '@overdub/core/agent';
import { nameContent } from './name-content.ts';
import { isSettled } from './settled.ts';
import { type SignatureStore, worthSigning } from './signatures.ts';

/** One read. */
const PIECE_BYTES = 512 * 1024;
/** How often a file that changes under the reader is begun again. */
const TRIES = 3;

export interface ReadContent {
  readonly content: ContentRef;
  readonly stamp: FileStamp;
  /** The stamp vouches for the content from now on: a later write cannot have these times (see `isSettled`). */
  readonly settled: boolean;
  /** It changed during each try: the content is what was read, of more than one instant. */
  readonly changing: boolean;
}

export interface ReadOptions {
  readonly tree: TreeReader;
  readonly signatures: SignatureStore | undefined;
  readonly signal: AbortSignal;
  /** Wall clock of this machine, the one that stamps its files, nanoseconds. */
  readonly nowNs: () => bigint;
}

/** What is read, and what is known of it. */
export interface ToRead {
  readonly path: string;
  /** As it was found before it is opened. */
  readonly found: FileStamp;
  /** What it probably holds still: every byte is read and hashed all the same, but it need not be cut again. */
  readonly known?: ContentRef | undefined;
  /** What it held, changed or not. */
  readonly before?: ContentRef | undefined;
}

/** Throws or rejects like `TreeReader.open` when the file is gone or unreadable. A small one is read at once. */
export function readContent(options: ReadOptions, what: ToRead): ReadContent | Promise<ReadContent> {
  const openedNs = options.nowNs();
  const file = options.tree.open(what.path);
  if (file instanceof Promise) return file.then((opened) => readPatiently(options, what, openedNs, opened));
  let read: ReadContent | undefined;
  try {
    read = readNow(options, what, openedNs, file);
  } catch (error) {
    void Promise.resolve(file.close()).catch(() => undefined);
    throw error;
  }
  if (read === undefined) return readPatiently(options, what, openedNs, file);
  const closed = file.close();
  return closed instanceof Promise ? closed.then(() => read) : read;
}

/** Most files: one chunk, not signed, that held still since it was found. Undefined for any other. */
function readNow(
  { signatures }: ReadOptions,
  { path, found, known }: ToRead,
  openedNs: bigint,
  file: TreeFile,
): ReadContent | undefined {
  if (file.bytes > room.length || (signatures !== undefined && worthSigning(path, file.bytes)))
    return undefined;
  const bytes = room.subarray(0, file.bytes);
  if (file.readNow?.(0, bytes) !== true) return undefined;
  const stamp = file.stamp();
  if (stamp instanceof Promise || !sameStamp(stamp, found) || stamp.size !== bytes.length) return undefined;
  const hasher = new ContentHasher();
  hasher.update(bytes);
  const read = hasher.finish();
  const isKnown = known?.digest === read.digest && known.bytes === read.bytes;
  return { content: isKnown ? known : read, stamp, settled: isSettled(stamp, openedNs), changing: false };
}

/** What is read at once lies here until it has been named. */
const room = Buffer.allocUnsafeSlow(CHUNK_LIMITS.min);

/** `file` is the first try's. */
async function readPatiently(
  options: ReadOptions,
  { path, known, before }: ToRead,
  openedNs: bigint,
  file: TreeFile,
): Promise<ReadContent> {
  for (let attempt = 1; ; attempt++) {
    try {
      const began = await file.stamp();
      const same = known !== undefined && (await holds(options, file, known));
      const pieces = readPieces(file, options.signal);
      const content = same ? known : await nameContent(options.signatures, path, file.bytes, pieces, before);
      const after = await file.stamp();
      if (sameStamp(began, after) && content.bytes === after.size) {
        return { content, stamp: after, settled: isSettled(after, openedNs), changing: false };
      }
      if (attempt >= TRIES) return { content, stamp: after, settled: false, changing: true };
    } finally {
      await file.close();
    }
    openedNs = options.nowNs();
    file = await options.tree.open(path);
  }
}

export function sameStamp(a: FileStamp, b: FileStamp): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.inode === b.inode;
}

/** A reader's bytes from `from` on, in pieces, each good until the next is asked for; to the end it has by then or `to`. */
export async function* readPieces(
  reader: RandomReader,
  signal: AbortSignal,
  from = 0,
  to: number = Number.POSITIVE_INFINITY,
): AsyncGenerator<Uint8Array> {
  const buffer = idle.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
  try {
    for (let at = from; at < to; ) {
      signal.throwIfAborted();
      const piece = await reader.read(at, Math.min(PIECE_BYTES, to - at), buffer);
      if (piece.length === 0) return;
      yield piece;
      at += piece.length;
    }
  } finally {
    if (idle.length < MOST_IDLE) idle.push(buffer);
  }
}

/** Read buffers that nobody uses now: one for each file made the collector run again and again. */
const idle: Buffer[] = [];
const MOST_IDLE = 8;

/** Does the file hold these bytes? By its SHA-256, at a third of the cost of naming it anew. */
async function holds(options: ReadOptions, file: RandomReader, known: ContentRef): Promise<boolean> {
  if (file.bytes !== known.bytes) return false;
  const hash = createHash('sha256');
  for await (const piece of readPieces(file, options.signal)) hash.update(piece);
  return hash.digest('hex') === known.digest;
}

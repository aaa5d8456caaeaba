/**
 * The agent's record of an image: entries in manifest order, each with the stamp of its file. It is the stat
 * cache, the list of what earlier contents were, and the spool between the steps of a snapshot, in one format:
 * JSON lines, a header line first, in blocks under zstd (four bytes of length, lowest first, then the frame). Written
 * beside its place and renamed, so it is whole or absent, as long as the power stays; after that a spool may be cut off, which its reader
 * finds. A spool becomes the record by a rename, once it is synced, and a small file beside it (`.head`) then names the image it agrees
 * with.
 */

import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { ContentRef, Entry, FileStamp, ManifestRef } from '@overdub/core/agent';
import { writeState } from '../state-file.ts';

const VERSION = 2;
/** Last line: a record without it was cut off. */
const END = 'end';
const LEVEL = { [constants.ZSTD_c_compressionLevel]: 1 };
/** Lines of one block, characters. */
const BLOCK_CHARACTERS = 256 * 1024;
/** No block of ours is longer; a damaged length must not ask for all memory. */
const MAX_BLOCK_BYTES = 256 * 1024 * 1024;

export interface RecordHeader {
  /** Whose image it is. */
  readonly server: string;
  /** The committed or restored image it agrees with; absent while it is only a spool. */
  readonly manifest?: ManifestRef;
  /** The lines are that image's entries, none missing and each the same. Never said after a restore, which others may have touched since. */
  readonly exact?: true;
}

/** One entry, as the agent saw it. */
export interface RecordLine {
  readonly entry: Entry;
  /** Absent when a file was too fresh to be trusted by its times (pitfall: racy timestamps). */
  readonly stamp?: FileStamp | undefined;
  /** Content not in the record before: the appliance may lack it. */
  readonly changed?: true;
  /** What was at the path in the record before. */
  readonly before?: ContentRef;
  /** The very line of the record before; never written. */
  readonly kept?: true;
  /** The entry is that of the record before, and its stamp is new; never written. */
  readonly same?: true;
  /** Where the bytes lie when not at the path: a copy of a file that keeps changing, or of a `put`. */
  readonly copy?: string;
}

/**
 * Writes a record; `commit` puts it in place, where a power cut may still take it (`syncFile`). Throws the system's errors, after
 * which it is to be abandoned.
 */
export class RecordWriter {
  readonly #path: string;
  /** Undefined once it was closed: its number may be another file's by then. */
  #file: number | undefined;
  #text = '';

  private constructor(path: string, header: RecordHeader) {
    this.#path = path;
    this.#file = openSync(partOf(path), 'w', 0o600);
    this.#text = `${JSON.stringify({ v: VERSION, ...header })}\n`;
  }

  static async create(path: string, header: RecordHeader): Promise<RecordWriter> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return new RecordWriter(path, header);
  }

  add(line: RecordLine): void {
    this.addText(JSON.stringify(plainLine(line)));
  }

  /** A line as its text. */
  addText(line: string): void {
    this.#text += `${line}\n`;
    if (this.#text.length >= BLOCK_CHARACTERS) this.#endBlock();
  }

  async commit(): Promise<void> {
    this.#text += `${JSON.stringify(END)}\n`;
    this.#endBlock();
    this.#close();
    await removeHead(this.#path);
    await rename(partOf(this.#path), this.#path);
  }

  /** Nothing of it is left, as far as that can be had. At once, so that what it took is free for others. Never throws. */
  abandon(): void {
    const steps = [() => this.#close(), () => rmSync(partOf(this.#path), { force: true })];
    for (const step of steps) {
      try {
        step();
      } catch {
        // Who abandons it has a reason to tell of already; the next one of this name writes over what is left.
      }
    }
  }

  #close(): void {
    const file = this.#file;
    this.#file = undefined;
    if (file !== undefined) closeSync(file);
  }

  /** In place and at once: a block is a millisecond's work, a trip to another thread and back costs as much. */
  #endBlock(): void {
    const packed = zstdCompressSync(Buffer.from(this.#text), { params: LEVEL });
    const block = Buffer.allocUnsafe(4 + packed.length);
    block.writeUInt32LE(packed.length);
    block.set(packed, 4);
    for (let done = 0; done < block.length; ) done += writeSync(this.#file as number, block, done);
    this.#text = '';
  }
}

/** Writes a whole record in place, or nothing. */
export async function writeRecord(
  path: string,
  header: RecordHeader,
  lines: AsyncIterable<RecordLine>,
): Promise<void> {
  const writer = await RecordWriter.create(path, header);
  try {
    for await (const line of lines) writer.add(line);
    await writer.commit();
  } catch (error) {
    writer.abandon();
    throw error;
  }
}

/** What became of an earlier record: its very lines, its entries with other stamps, or something else. */
export type Outcome = 'kept' | 'same' | 'changed';

/**
 * As {@link writeRecord}, but writes nothing when the lines are the `count` lines of the record at `previous`, each `kept`.
 */
export async function writeUnlessKept(
  path: string,
  header: RecordHeader,
  lines: AsyncIterable<RecordLine>,
  previous: string,
  count: number,
): Promise<Outcome> {
  let kept = 0;
  let same = 0;
  let changed = false;
  let writer: RecordWriter | undefined;
  const begin = async (): Promise<RecordWriter> => {
    const begun = await RecordWriter.create(path, header);
    for (const line of takeLines(previous, kept)) begun.add(line);
    return begun;
  };
  try {
    for await (const line of lines) {
      if (writer === undefined && line.kept === true) kept += 1;
      else {
        writer ??= await begin();
        if (line.kept === true || line.same === true) same += 1;
        else changed = true;
        writer.add(line);
      }
    }
    if (writer === undefined && kept === count) return 'kept';
    writer ??= await begin();
    await writer.commit();
    return !changed && kept + same === count ? 'same' : 'changed';
  } catch (error) {
    writer?.abandon();
    throw error;
  }
}

/** The lines of an earlier record as those of a new one: nothing of them has changed. */
export async function* keptLines(path: string): AsyncGenerator<RecordLine> {
  for (const lines of readBlocks(path)) for (const line of lines) yield plainLine({ ...line, kept: true });
}

function* takeLines(path: string, count: number): Generator<RecordLine> {
  let left = count;
  for (const lines of left === 0 ? [] : readBlocks(path)) {
    for (const line of lines.slice(0, left)) yield plainLine({ ...line, kept: true });
    left -= lines.length;
    if (left <= 0) return;
  }
}

/** What is written of a line. */
function plainLine(line: RecordLine): RecordLine {
  const { entry, stamp, kept, same } = line;
  const before = kept === true || same === true;
  return before ? { entry, ...(stamp === undefined ? {} : { stamp }) } : line;
}

/** Names the image that a finished record agrees with, without writing the record anew. */
export async function writeHead(path: string, header: RecordHeader): Promise<void> {
  await writeState(headOf(path), { v: VERSION, ...header });
}

/** Takes the name away again, be it a directory: first of all, before other lines come into the record's place. */
export async function removeHead(path: string): Promise<void> {
  await rm(headOf(path), { recursive: true, force: true });
}

/** Takes a record away, its name first, be they directories; also where one of both cannot be removed. Throws the system's errors. */
export async function removeRecord(path: string): Promise<void> {
  try {
    await removeHead(path);
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

/** The header; undefined when there is no record, or none that can be read: then it is as if there were none. */
export async function readHeader(path: string): Promise<RecordHeader | undefined> {
  const own = ownHeader(path);
  const head = own === undefined ? undefined : await headBeside(path);
  return head?.server === own?.server && head !== undefined ? head : own;
}

async function headBeside(path: string): Promise<RecordHeader | undefined> {
  try {
    const head = JSON.parse(await readFile(headOf(path), 'utf8')) as RecordHeader & { v: number };
    return head.v === VERSION ? head : undefined;
  } catch {
    // As with the record itself: what cannot be read is not there.
    return undefined;
  }
}

function ownHeader(path: string): RecordHeader | undefined {
  let file: RecordFile | undefined;
  try {
    file = new RecordFile(path);
    const header = JSON.parse(file.next()?.[0] ?? 'null') as (RecordHeader & { v: number }) | null;
    return header?.v === VERSION ? header : undefined;
  } catch {
    // A cache that cannot be read is no cache; the contents are read again instead.
    return undefined;
  } finally {
    file?.close();
  }
}

/** The lines, in order. Throws when the record is absent or damaged on the way. */
export async function* readRecord(path: string): AsyncGenerator<RecordLine> {
  for (const lines of readBlocks(path)) yield* lines;
}

/** The lines, in order, as many at a time as one block holds. */
function* readBlocks(path: string): Generator<RecordLine[]> {
  for (const lines of readTexts(path)) yield JSON.parse(`[${lines.join(',')}]`) as RecordLine[];
}

/** As {@link readBlocks}, not parsed. */
export function* readTexts(path: string): Generator<string[]> {
  const file = new RecordFile(path);
  try {
    let first = true;
    let ended = false;
    for (let lines = file.next(); lines !== undefined; lines = file.next()) {
      if (first) lines.shift();
      first = false;
      if (lines.at(-1) === JSON.stringify(END)) {
        ended = true;
        lines.pop();
      }
      yield lines;
    }
    if (!ended) throw new Error(`the record ${path} is cut off`);
  } finally {
    file.close();
  }
}

/** A record's blocks, one at a time. */
class RecordFile {
  readonly #path: string;
  readonly #file: number;

  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, 'r');
  }

  /** The next block's lines; undefined at the end. */
  next(): string[] | undefined {
    const head = this.#read(4);
    if (head === undefined) return undefined;
    const packed = this.#read(Math.min(head.readUInt32LE(), MAX_BLOCK_BYTES));
    if (packed === undefined) throw this.#cutOff();
    const text = zstdDecompressSync(packed).toString('utf8');
    // No newline stands inside a value.
    return text.slice(0, -1).split('\n');
  }

  close(): void {
    closeSync(this.#file);
  }

  /** Exactly so many bytes; undefined at the end of the file. */
  #read(bytes: number): Buffer | undefined {
    const buffer = Buffer.allocUnsafe(bytes);
    let filled = 0;
    for (let got = -1; filled < bytes && got !== 0; filled += got) {
      got = readSync(this.#file, buffer, filled, bytes - filled, null);
    }
    if (filled === 0) return undefined;
    if (filled < bytes) throw this.#cutOff();
    return buffer;
  }

  #cutOff(): Error {
    return new Error(`the record ${this.#path} is cut off`);
  }
}

/** Only the entries, for page builders and imagers. */
export async function* entriesOf(lines: AsyncIterable<RecordLine>): AsyncGenerator<Entry> {
  for await (const line of lines) yield line.entry;
}

function headOf(path: string): string {
  return `${path}.head`;
}

function partOf(path: string): string {
  return `${path}.part`;
}

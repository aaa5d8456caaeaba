/**
 * The agent's record of an image: entries in manifest order, each with the stamp of its file. It is the stat
 * cache, the list of what earlier contents were, and the spool between the steps of a snapshot, in one format:
 * JSON lines under zstd, a header line first. Written beside its place and renamed, so it is whole or absent. A
 * spool becomes the record by a rename, and a small file beside it (`.head`) then names the image it agrees with.
 */

import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline as pipe } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import {
  type ContentRef,
  comparePaths,
  type Entry,
  type FileStamp,
  type ManifestRef,
} from '@overdub/core/agent';

const VERSION = 1;
const NEWLINE = 0x0a;
/** Last line: a record without it was cut off. */
const END = 'end';
const LEVEL = { [constants.ZSTD_c_compressionLevel]: 1 };
/** Lines are written, and come out of the decompressor, by so many bytes: each turn of zlib is a trip to a thread. */
const PIECE_BYTES = 256 * 1024;

export interface RecordHeader {
  /** Whose image it is. */
  readonly server: string;
  /** The committed or restored image it agrees with; absent while it is only a spool. */
  readonly manifest?: ManifestRef;
}

/** One entry, as the agent saw it. */
export interface RecordLine {
  readonly entry: Entry;
  /** Absent when a file was too fresh to be trusted by its times (pitfall: racy timestamps). */
  readonly stamp?: FileStamp;
  /** Content not in the record before: the appliance may lack it. */
  readonly changed?: true;
  /** What was at the path in the record before. */
  readonly before?: ContentRef;
  /** Where the bytes lie when not at the path: a copy of a file that keeps changing, or of a `put`. */
  readonly copy?: string;
}

/** Writes a record; `commit` puts it in place. */
export class RecordWriter {
  readonly #path: string;
  readonly #out = createZstdCompress({ params: LEVEL });
  readonly #done: Promise<void>;
  #text = '';

  private constructor(path: string, header: RecordHeader) {
    this.#path = path;
    this.#done = pipeline(this.#out, createWriteStream(partOf(path), { mode: 0o600 }));
    this.#done.catch(() => undefined);
    this.#text = `${JSON.stringify({ v: VERSION, ...header })}\n`;
  }

  static async create(path: string, header: RecordHeader): Promise<RecordWriter> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return new RecordWriter(path, header);
  }

  /** True when so much has gathered that `flush` should be awaited. */
  add(line: RecordLine): boolean {
    this.#text += `${JSON.stringify(line)}\n`;
    return this.#text.length >= PIECE_BYTES;
  }

  async flush(): Promise<void> {
    const text = this.#text;
    this.#text = '';
    if (this.#out.write(text)) return;
    await Promise.race([new Promise((resolve) => this.#out.once('drain', resolve)), this.#done]);
  }

  async commit(): Promise<void> {
    this.#out.end(`${this.#text}${JSON.stringify(END)}\n`);
    await this.#done;
    const file = await open(partOf(this.#path), 'r');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
    await removeHead(this.#path);
    await rename(partOf(this.#path), this.#path);
  }

  async abandon(): Promise<void> {
    this.#out.destroy();
    await this.#done.catch(() => undefined);
    await rm(partOf(this.#path), { force: true });
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
    for await (const line of lines) if (writer.add(line)) await writer.flush();
    await writer.commit();
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** Names the image that a finished record agrees with, without writing the record anew. */
export async function writeHead(path: string, header: RecordHeader): Promise<void> {
  const head = headOf(path);
  const file = await open(partOf(head), 'w', 0o600);
  try {
    await file.writeFile(JSON.stringify({ v: VERSION, ...header }));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partOf(head), head);
}

/** Takes the name away again: first of all, before other lines come into the record's place. */
export async function removeHead(path: string): Promise<void> {
  await rm(headOf(path), { force: true });
}

/** The header; undefined when there is no record, or none that can be read: then it is as if there were none. */
export async function readHeader(path: string): Promise<RecordHeader | undefined> {
  const own = await ownHeader(path);
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

async function ownHeader(path: string): Promise<RecordHeader | undefined> {
  const pieces = parsedPieces(path);
  try {
    const first = await pieces.next();
    const header = (first.done === true ? undefined : first.value[0]) as
      | (RecordHeader & { v: number })
      | undefined;
    return header?.v === VERSION ? header : undefined;
  } catch {
    // A cache that cannot be read is no cache; the contents are read again instead.
    return undefined;
  } finally {
    await pieces.return(undefined);
  }
}

/** The lines, in order. Throws when the record is absent or damaged on the way. */
export async function* readRecord(path: string): AsyncGenerator<RecordLine> {
  for await (const lines of readBatches(path)) yield* lines;
}

/** The lines, in order, as many at a time as come out of the file together. */
async function* readBatches(path: string): AsyncGenerator<RecordLine[]> {
  let first = true;
  let ended = false;
  for await (const values of parsedPieces(path)) {
    if (first) values.shift();
    first = false;
    if (values.at(-1) === END) {
      ended = true;
      values.pop();
    }
    yield values as RecordLine[];
  }
  if (!ended) throw new Error(`the record ${path} is cut off`);
}

/** Walks a record alongside another listing in manifest order. Close it. */
export class RecordCursor {
  readonly #batches: AsyncGenerator<RecordLine[]>;
  #batch: readonly RecordLine[] = [];
  #at = 0;

  constructor(path: string) {
    this.#batches = readBatches(path);
  }

  /** The line at `path`, if there is one. Paths must be asked for in manifest order. */
  async seek(path: string): Promise<RecordLine | undefined> {
    for (;;) {
      for (; this.#at < this.#batch.length; this.#at++) {
        const line = this.#batch[this.#at] as RecordLine;
        const order = comparePaths(line.entry.path, path);
        if (order >= 0) return order === 0 ? line : undefined;
      }
      const next = await this.#batches.next();
      if (next.done === true) return undefined;
      this.#batch = next.value;
      this.#at = 0;
    }
  }

  async close(): Promise<void> {
    await this.#batches.return(undefined);
  }
}

/** What the lines of a file say, a piece of the file at a time: no newline stands inside a value. */
async function* parsedPieces(path: string): AsyncGenerator<unknown[]> {
  const decompress = createZstdDecompress({ chunkSize: PIECE_BYTES });
  const plain = pipe(createReadStream(path, { highWaterMark: PIECE_BYTES }), decompress, () => undefined);
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of plain as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    const end = bytes.lastIndexOf(NEWLINE);
    rest = bytes.subarray(end + 1);
    if (end !== -1)
      yield JSON.parse(`[${bytes.toString('utf8', 0, end).replaceAll('\n', ',')}]`) as unknown[];
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

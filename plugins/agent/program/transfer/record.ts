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
import type { ContentRef, Entry, FileStamp, ManifestRef } from '@overdub/core/agent';

const VERSION = 1;
const NEWLINE = 0x0a;
/** Last line: a record without it was cut off. */
const END = '"end"';
const LEVEL = { [constants.ZSTD_c_compressionLevel]: 3 };

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

  private constructor(path: string, header: RecordHeader) {
    this.#path = path;
    this.#done = pipeline(this.#out, createWriteStream(partOf(path), { mode: 0o600 }));
    this.#done.catch(() => undefined);
    this.#out.write(`${JSON.stringify({ v: VERSION, ...header })}\n`);
  }

  static async create(path: string, header: RecordHeader): Promise<RecordWriter> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return new RecordWriter(path, header);
  }

  async add(line: RecordLine): Promise<void> {
    if (!this.#out.write(`${JSON.stringify(line)}\n`)) {
      await Promise.race([new Promise((resolve) => this.#out.once('drain', resolve)), this.#done]);
    }
  }

  async commit(): Promise<void> {
    this.#out.end(`${END}\n`);
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
    for await (const line of lines) await writer.add(line);
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
  const lines = textLines(path);
  try {
    const first = await lines.next();
    const header = JSON.parse(first.done === true ? 'null' : first.value) as
      | (RecordHeader & { v: number })
      | null;
    return header?.v === VERSION ? header : undefined;
  } catch {
    // A cache that cannot be read is no cache; the contents are read again instead.
    return undefined;
  } finally {
    await lines.return(undefined);
  }
}

/** The lines, in order. Throws when the record is absent or damaged on the way. */
export async function* readRecord(path: string): AsyncGenerator<RecordLine> {
  let first = true;
  let ended = false;
  for await (const text of textLines(path)) {
    if (text === END) ended = true;
    else if (!first) yield JSON.parse(text) as RecordLine;
    first = false;
  }
  if (!ended) throw new Error(`the record ${path} is cut off`);
}

async function* textLines(path: string): AsyncGenerator<string> {
  const plain = pipe(createReadStream(path), createZstdDecompress(), () => undefined);
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of plain as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, from)) {
      yield bytes.toString('utf8', from, at);
      from = at + 1;
    }
    rest = bytes.subarray(from);
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

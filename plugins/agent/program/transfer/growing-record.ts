/** The record of a root that was empty: a line is written once its file is left, so that little is to be done at the end. */

import { comparePaths, type Entry, type FileStamp } from '@overdub/core/agent';
import { Queue } from './queue.ts';
import { type RecordHeader, type RecordLine, RecordWriter } from './record.ts';
import { isSettled } from './settled.ts';

/** Told of a file that was left, and of its stamp; in the image's order. */
export type OnFile = (path: string, stamp: FileStamp) => void;

/** Told once, with the reason, that there will be no record: it is a cache, and its writer goes on without it. */
export type OnLost = (why: unknown) => void;

/** So many lines wait before it is asked again which of them can be written. */
const LINES_AT_A_TIME = 512;
/** What is not settled by then will not be while this runs: its times lie ahead. */
const PATIENCE_NS = 3_000_000_000n;
/** Nor do more than so many wait: where the clock was set back, nothing settles for as long. */
const MOST_LINES = 16_384;
/** Of entries behind which no file was left, far more than are planned ahead: what is told of the first of more comes too late. */
const MOST_AHEAD = 65_536;

export interface GrowingRecordOptions {
  readonly header: RecordHeader;
  readonly nowNs: () => bigint;
  readonly onLost: OnLost;
}

interface Left {
  readonly line: RecordLine;
  readonly sinceNs: bigint;
}

/**
 * Whoever comes when all is written gives a file another stamp, but within one tick: the times of files are trusted once that has passed,
 * those written just before the end are not. Where the record cannot be written nothing of it stays.
 */
export class GrowingRecord {
  readonly #options: GrowingRecordOptions;
  readonly #writer: SparableWriter;
  /** Entries of the image that nobody was told to have been left. */
  readonly #ahead = new Queue<Entry>();
  readonly #left = new Queue<Left>();
  #sinceNs: bigint;
  #count = 0;

  static async create(path: string, options: GrowingRecordOptions): Promise<GrowingRecord> {
    return new GrowingRecord(await SparableWriter.create(path, options.header, options.onLost), options);
  }

  private constructor(writer: SparableWriter, options: GrowingRecordOptions) {
    this.#writer = writer;
    this.#options = options;
    this.#sinceNs = options.nowNs();
  }

  /** Passes the entries of the image on, each of which gets a line. */
  async *of(entries: AsyncIterable<Entry>): AsyncGenerator<Entry> {
    for await (const entry of entries) {
      this.#ahead.push(entry);
      if (this.#ahead.length > MOST_AHEAD) this.#leave({ entry: this.#ahead.shift() as Entry });
      yield entry;
    }
  }

  readonly onFile: OnFile = (path, stamp) => {
    for (let entry = this.#ahead.first; entry !== undefined; entry = this.#ahead.first) {
      const order = comparePaths(entry.path, path);
      if (order > 0) return;
      this.#ahead.shift();
      this.#leave(order === 0 ? { entry, stamp } : { entry });
      if (order === 0) return;
    }
  };

  /** The lines that are left, and the record in its place, unless it was lost. Never throws. */
  async commit(): Promise<void> {
    for (let entry = this.#ahead.shift(); entry !== undefined; entry = this.#ahead.shift())
      this.#left.push({ line: { entry }, sinceNs: this.#sinceNs });
    const endedNs = this.#options.nowNs();
    for (let left = this.#left.shift(); left !== undefined; left = this.#left.shift())
      this.#write(left.line, endedNs);
    await this.#writer.commit();
  }

  abandon(): void {
    this.#writer.abandon();
  }

  #leave(line: RecordLine): void {
    this.#left.push({ line, sinceNs: this.#sinceNs });
    this.#count += 1;
    if (this.#count % LINES_AT_A_TIME !== 0) return;
    this.#sinceNs = this.#options.nowNs();
    const canWait = ({ line: { stamp }, sinceNs }: Left) =>
      stamp !== undefined &&
      !isSettled(stamp, this.#sinceNs) &&
      this.#sinceNs - sinceNs < PATIENCE_NS &&
      this.#left.length <= MOST_LINES;
    for (let first = this.#left.first; first !== undefined && !canWait(first); first = this.#left.first) {
      this.#left.shift();
      this.#write(first.line, this.#sinceNs);
    }
  }

  #write({ entry, stamp }: RecordLine, lookedNs: bigint): void {
    const isTrusted = stamp !== undefined && isSettled(stamp, lookedNs);
    this.#writer.add(isTrusted ? { entry, stamp } : { entry });
  }
}

/** Writes a record as far as that goes. */
class SparableWriter {
  #writer: RecordWriter | undefined;
  readonly #onLost: OnLost;

  private constructor(onLost: OnLost) {
    this.#onLost = onLost;
  }

  static async create(path: string, header: RecordHeader, onLost: OnLost): Promise<SparableWriter> {
    const made = new SparableWriter(onLost);
    try {
      made.#writer = await RecordWriter.create(path, header);
    } catch (error) {
      onLost(error);
    }
    return made;
  }

  add(line: RecordLine): void {
    try {
      this.#writer?.add(line);
    } catch (error) {
      this.#lose(error);
    }
  }

  async commit(): Promise<void> {
    try {
      await this.#writer?.commit();
    } catch (error) {
      this.#lose(error);
    }
  }

  abandon(): void {
    const writer = this.#writer;
    this.#writer = undefined;
    writer?.abandon();
  }

  #lose(why: unknown): void {
    this.abandon();
    this.#onLost(why);
  }
}

/** The record that a restore leaves, so that the next snapshot need not read everything again. */

import { constants, existsSync } from 'node:fs';
import { copyFile, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type FileStamp, OverdubError } from '@overdub/core/agent';
import { syncFile } from '../state-file.ts';
import { headOfLine } from './held-line.ts';
import { type RecordHeader, type RecordLine, RecordWriter, readTexts, removeRecord } from './record.ts';
import { RecordCursor } from './record-cursor.ts';
import { isSettled } from './settled.ts';

export interface RestoredParts {
  /** The record of the image, without stamps. */
  readonly target: string;
  /** What was there before, where anything was. */
  readonly present: string | undefined;
  /** See {@link recordWritten}; undefined where nobody told of what was written. */
  readonly written: string | undefined;
  /** When the last file had been written, by the wall clock. */
  readonly endedNs: bigint;
}

/** Told of a file that was left, and of its stamp. */
export type OnFile = (path: string, stamp: FileStamp) => void;

/** Told once, with the reason, that there will be no record: it is a cache, and its writer goes on without it. */
export type OnLost = (why: unknown) => void;

/**
 * Runs `work` and records at `path` what it tells of the files it leaves, in the image's order. Where that cannot be written nothing
 * of it stays, `work` goes on, and `isRecorded` is false.
 */
export async function recordWritten<T>(
  path: string,
  header: RecordHeader,
  work: (onFile: OnFile) => Promise<T>,
  onLost: OnLost,
): Promise<{ readonly result: T; readonly isRecorded: boolean }> {
  const writer = await SparableWriter.create(path, header, onLost);
  try {
    const result = await work((file, stamp) =>
      writer.addText(`${headOfLine(file)}"type":"file"},"stamp":${JSON.stringify(stamp)}}`),
    );
    return { result, isRecorded: await writer.commit() };
  } catch (error) {
    writer.abandon();
    throw error;
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

  addText(line: string): void {
    try {
      this.#writer?.addText(line);
    } catch (error) {
      this.#lose(error);
    }
  }

  /** Is it there, whole? */
  async commit(): Promise<boolean> {
    try {
      await this.#writer?.commit();
    } catch (error) {
      this.#lose(error);
    }
    return this.#writer !== undefined;
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

/**
 * Writes the image's lines to `path`, with the stamps of the files that were written, and of what lay there already. Whoever comes
 * when all is written gives a file another stamp, but within one tick: the times of files written just before `endedNs` are not
 * trusted. Of files that others may have touched since they were written, nothing is to be told in `written`.
 */
export async function writeRestored(path: string, header: RecordHeader, parts: RestoredParts): Promise<void> {
  const writer = await RecordWriter.create(path, header);
  try {
    for (const text of stampedTexts(parts)) writer.addText(text);
    await writer.commit();
  } catch (error) {
    writer.abandon();
    throw error;
  }
}

/**
 * Puts a record in its place, which may be on another filesystem, and where anything may lie, directories too. Where there is none, or it
 * cannot be placed, `onLost` is told, and none is there afterwards: the one before tells of what was there before, and may be an intruder's
 * word. So only where that one cannot be taken away does this throw, STATE_UNWRITABLE: the next snapshot would believe it.
 */
export async function placeRecord(from: string, to: string, onLost: OnLost): Promise<void> {
  try {
    await removeRecord(to);
    if (existsSync(from)) await copyInto(from, to);
  } catch (error) {
    if (await canBeRead(to)) throw believed(to, error);
    onLost(error);
  } finally {
    await rm(from, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** What comes into place comes by the last step; a link that lies where it is written first is not followed. */
async function copyInto(from: string, to: string): Promise<void> {
  const part = `${to}.part`;
  const clear = () => rm(part, { recursive: true, force: true });
  try {
    await mkdir(dirname(to), { recursive: true, mode: 0o700 });
    await clear();
    await copyFile(from, part, constants.COPYFILE_EXCL);
    await syncFile(part);
    await rename(part, to);
  } catch (error) {
    await clear().catch(() => undefined);
    throw error;
  }
}

/** Might a record be read there, now or once the disk has recovered? */
async function canBeRead(path: string): Promise<boolean> {
  try {
    return !(await lstat(path)).isDirectory();
  } catch (error) {
    return !['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
  }
}

function believed(path: string, cause: unknown): OverdubError {
  return new OverdubError(
    'STATE_UNWRITABLE',
    `The agent's record of what was there before the restore cannot be removed, and the next snapshot would believe it: ${cause}`,
    `Remove ${path} by hand (chattr -i, where lsattr shows it immutable), then restore again.`,
    { cause },
  );
}

function* stampedTexts({ target, present, written, endedNs }: RestoredParts): Generator<string> {
  const files = written === undefined ? undefined : new StampedFiles(written);
  const before = present === undefined ? undefined : new RecordCursor(present);
  try {
    for (const lines of readTexts(target)) {
      for (const text of lines) {
        const stamp = files?.stampOf(text);
        if (stamp === undefined) yield (before && lineBefore(before, text)) ?? text;
        else if (isSettled(stamp, endedNs)) yield `${text.slice(0, -1)},"stamp":${JSON.stringify(stamp)}}`;
        else yield text;
      }
    }
  } finally {
    files?.close();
    before?.close();
  }
}

/** The line that was there before, when it tells of the same entry. */
function lineBefore(before: RecordCursor, text: string): string | undefined {
  const { entry } = JSON.parse(text) as RecordLine;
  const line = before.seek(entry.path);
  if (line?.stamp === undefined || canonical(line.entry) !== canonical(entry)) return undefined;
  return `${text.slice(0, -1)},"stamp":${JSON.stringify(line.stamp)}}`;
}

/** Lists and scans name an entry's fields in another order. */
function canonical(entry: RecordLine['entry']): string {
  const sorted = (value: unknown): unknown =>
    value === null || typeof value !== 'object' || Array.isArray(value)
      ? value
      : Object.fromEntries(
          Object.entries(value)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, inner]) => [key, sorted(inner)]),
        );
  return JSON.stringify(sorted(entry));
}

/** Walks what was written alongside the image's lines, all in one order. */
class StampedFiles {
  readonly #blocks: Generator<string[]>;
  #lines: readonly string[] = [];
  #at = 0;
  #next: { readonly head: string; readonly stamp: FileStamp } | undefined;

  constructor(written: string) {
    this.#blocks = readTexts(written);
    this.#advance();
  }

  /** Of the file of this line of the image, if it was written. */
  stampOf(text: string): FileStamp | undefined {
    const next = this.#next;
    if (next === undefined || !text.startsWith(next.head)) return undefined;
    this.#advance();
    return next.stamp;
  }

  close(): void {
    this.#blocks.return(undefined);
  }

  #advance(): void {
    while (this.#at === this.#lines.length) {
      const block = this.#blocks.next();
      if (block.done === true) {
        this.#next = undefined;
        return;
      }
      this.#lines = block.value;
      this.#at = 0;
    }
    const line = JSON.parse(this.#lines[this.#at] as string) as RecordLine;
    this.#at += 1;
    this.#next = { head: headOfLine(line.entry.path), stamp: line.stamp as FileStamp };
  }
}

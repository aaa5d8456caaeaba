/** The record that a restore leaves, so that the next snapshot need not read everything again. */

import { copyFile, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { FileStamp } from '@overdub/core/agent';
import { headOfLine } from './held-line.ts';
import {
  RecordCursor,
  type RecordHeader,
  type RecordLine,
  RecordWriter,
  readTexts,
  removeHead,
} from './record.ts';
import { isSettled } from './settled.ts';

export interface RestoredParts {
  /** The record of the image, without stamps. */
  readonly target: string;
  /** What was there before, where anything was. */
  readonly present: string | undefined;
  /** See {@link recordWritten}. */
  readonly written: string;
  /** When the last file had been written, by the wall clock. */
  readonly endedNs: bigint;
}

/** Runs `work` and records at `path` what it tells of the files it leaves, in the image's order. */
export async function recordWritten<T>(
  path: string,
  header: RecordHeader,
  work: (onFile: (path: string, stamp: FileStamp) => void) => Promise<T>,
): Promise<T> {
  const writer = await RecordWriter.create(path, header);
  try {
    const result = await work((file, stamp) =>
      writer.addText(`${headOfLine(file)}"type":"file"},"stamp":${JSON.stringify(stamp)}}`),
    );
    await writer.commit();
    return result;
  } catch (error) {
    await writer.abandon();
    throw error;
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
    await writer.abandon();
    throw error;
  }
}

/** Puts a record in its place, which may be on another filesystem. */
export async function placeRecord(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  const part = `${to}.part`;
  await copyFile(from, part);
  const copy = await open(part, 'r+');
  try {
    await copy.sync();
  } finally {
    await copy.close();
  }
  await removeHead(to);
  await rename(part, to);
  await rm(from);
}

function* stampedTexts({ target, present, written, endedNs }: RestoredParts): Generator<string> {
  const files = new StampedFiles(written);
  const before = present === undefined ? undefined : new RecordCursor(present);
  try {
    for (const lines of readTexts(target)) {
      for (const text of lines) {
        const stamp = files.stampOf(text);
        if (stamp === undefined) yield (before && lineBefore(before, text)) ?? text;
        else if (isSettled(stamp, endedNs)) yield `${text.slice(0, -1)},"stamp":${JSON.stringify(stamp)}}`;
        else yield text;
      }
    }
  } finally {
    files.close();
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

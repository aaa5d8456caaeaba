/** The record that a restore leaves, so that the next snapshot need not read everything again. */

import { constants, existsSync } from 'node:fs';
import { copyFile, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OverdubError } from '@overdub/core/agent';
import { syncFile } from '../state-file.ts';
import type { OnLost } from './growing-record.ts';
import { type RecordHeader, type RecordLine, RecordWriter, readTexts, removeRecord } from './record.ts';
import { RecordCursor } from './record-cursor.ts';

export interface RestoredParts {
  /** The record of the image, without stamps. */
  readonly target: string;
  /** What was there before. */
  readonly present: string;
}

/**
 * Writes the image's lines to `path`, with the stamps of what lay there already. What was written has none: where others are at work as
 * well, they might change a file in the very tick in which it was written.
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

function* stampedTexts({ target, present }: RestoredParts): Generator<string> {
  const before = new RecordCursor(present);
  try {
    for (const lines of readTexts(target)) for (const text of lines) yield lineBefore(before, text) ?? text;
  } finally {
    before.close();
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

import { randomBytes } from 'node:crypto';
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BlobExists, type PutOptions } from '@overdub/core';
import { ensureDirectory, syncDirectory } from '@overdub/lib-files';

/** Where a blob goes, and where its half-written form may lie. Both on one file system. */
export interface PutTarget {
  readonly name: string;
  readonly path: string;
  readonly temporary: string;
}

/** Writes under a temporary name, syncs, moves into place, syncs the directory: all or nothing, durably. */
export async function putFile(
  target: PutTarget,
  data: Uint8Array | AsyncIterable<Uint8Array>,
  options: PutOptions,
): Promise<void> {
  options.signal?.throwIfAborted();
  const temporary = join(target.temporary, randomBytes(12).toString('hex'));
  try {
    await writeNew(temporary, data, options.signal);
    await ensureDirectory(dirname(target.path));
    if (options.createOnly === true) await linkNew(temporary, target);
    else await rename(temporary, target.path);
    await syncDirectory(dirname(target.path));
  } finally {
    await rm(temporary, { force: true });
  }
}

async function writeNew(
  path: string,
  data: Uint8Array | AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    if (data instanceof Uint8Array) await writeFully(file, data);
    else {
      for await (const piece of data) {
        signal?.throwIfAborted();
        await writeFully(file, piece);
      }
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

async function writeFully(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
  }
}

/** link(2) refuses a taken name, atomically; rename(2) would not. */
async function linkNew(temporary: string, target: PutTarget): Promise<void> {
  try {
    await link(temporary, target.path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw new BlobExists(target.name);
    throw error;
  }
}

/** Is this "no space", of the disk or of a quota? */
export function isFull(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

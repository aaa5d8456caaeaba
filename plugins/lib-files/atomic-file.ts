/** Whole files that appear complete or not at all. */

import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rename, rm, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { OverdubError } from '@overdub/core/agent';
import { syncDirectory } from './durable.ts';

/** Writes `pieces` to a temporary name beside `path`, syncs, renames, syncs the folder. Nothing is left on failure. */
export async function writeAtomically(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.part`);
  const file = await open(temporary, 'wx');
  try {
    for await (const piece of pieces) await writeWhole(file, piece);
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close();
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Rejects with DELTA_TOO_LARGE when `bytes` more cannot fit on the filesystem of `path`. */
export async function assertRoom(path: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path));
  const free = bavail * bsize;
  if (bytes > free) {
    throw new OverdubError(
      'DELTA_TOO_LARGE',
      `${path} would have ${bytes} bytes, but only ${free} are free there.`,
      'Make room or write elsewhere; a damaged delta can ask for any length.',
    );
  }
}

async function writeWhole(file: FileHandle, piece: Uint8Array): Promise<void> {
  for (let from = 0; from < piece.length; ) {
    from += (await file.write(piece, from, piece.length - from)).bytesWritten;
  }
}

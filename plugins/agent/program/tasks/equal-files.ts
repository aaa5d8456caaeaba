/** Whether a file already is what it is to become. */

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

const PIECE_BYTES = 1024 * 1024;

/** Compares all bytes. False where `there` is missing or no regular file; a link is not followed. */
export async function equalFiles(wanted: string, there: string): Promise<boolean> {
  await using one = await open(wanted, 'r');
  await using other = await openRegular(there);
  if (other === undefined) return false;
  const { size } = await one.stat();
  if ((await other.stat()).size !== size) return false;
  const [left, right] = [Buffer.allocUnsafe(PIECE_BYTES), Buffer.allocUnsafe(PIECE_BYTES)];
  for (let at = 0; at < size; ) {
    const length = Math.min(PIECE_BYTES, size - at);
    if (!(await fill(one, left, length, at)) || !(await fill(other, right, length, at))) return false;
    if (left.compare(right, 0, length, 0, length) !== 0) return false;
    at += length;
  }
  return true;
}

async function openRegular(path: string): Promise<FileHandle | undefined> {
  try {
    // Not blocking: what lies there may be a FIFO.
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    await file.close();
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENXIO') return undefined;
    throw error;
  }
}

/** False when the file ends before. */
async function fill(file: FileHandle, into: Buffer, length: number, position: number): Promise<boolean> {
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(into, done, length - done, position + done);
    if (bytesRead === 0) return false;
    done += bytesRead;
  }
  return true;
}

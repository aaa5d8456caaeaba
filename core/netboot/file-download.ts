/** A file's bytes into an HTTP response through buffers that are used again: half of what a stream costs. */

import type { FileHandle } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { heardLater } from '../domain/heard-later.ts';
import { written } from '../written.ts';
import { Turns } from './turns.ts';

/** What the buffers of all downloads together may take, save that each may have two of the smallest. */
const BUFFER_BYTES = 32 * 1024 * 1024;
const LARGEST = 512 * 1024;
const SMALLEST = 32 * 1024;
/** The part of what is left that one download may take. */
const PART = 16;

/**
 * The size of the two buffers of a download that begins while the others hold so many bytes: large ones cost least for a
 * few machines, small ones keep a thousand within bounds. They keep their size to the end, so each takes a part of what
 * is left, not a share by number: those shares of a thousand that come one by one add up to four times the whole.
 */
export function bufferBytes(held: number): number {
  const size = Math.floor((BUFFER_BYTES - held) / PART / 2);
  return Math.max(SMALLEST, Math.min(LARGEST, size));
}

/**
 * Node has four threads for everything that waits for a disk. Two are enough to read ahead of any network; the others are
 * left to what somebody waits for: a lease on its way to the disk stands behind no thousand downloads.
 */
const READS_AT_A_TIME = 2;

/** Bytes in the buffers of all downloads under way. */
let held = 0;
const reads = new Turns(READS_AT_A_TIME);

/**
 * Sends `length` bytes from `offset` on as the body of a response whose head is set, ends it, and closes the file.
 * Reading runs one buffer ahead of sending. Rejects when the file ends early or cannot be read: the response is then
 * cut off, so that no client takes it for whole. A client that leaves is no error.
 */
export async function sendFile(
  response: ServerResponse,
  file: FileHandle,
  { offset, length }: { readonly offset: number; readonly length: number },
): Promise<void> {
  const size = Math.min(bufferBytes(held), Math.max(1, length));
  held += 2 * size;
  try {
    const buffers = [Buffer.allocUnsafeSlow(size), Buffer.allocUnsafeSlow(size)] as const;
    const read = (at: number): Promise<Buffer> =>
      readWhole(
        file,
        (at / size) % 2 < 1 ? buffers[0] : buffers[1],
        offset + at,
        Math.min(size, length - at),
      );
    let next = length > 0 ? read(0) : undefined;
    for (let at = 0; next !== undefined && !response.destroyed; ) {
      const piece = await next;
      at += piece.length;
      next = at < length ? heardLater(read(at)) : undefined;
      await written(response, [piece]);
    }
    await next?.catch(() => undefined);
    response.end();
  } catch (error) {
    response.destroy();
    throw error;
  } finally {
    held -= 2 * size;
    await file.close();
  }
}

async function readWhole(file: FileHandle, buffer: Buffer, position: number, bytes: number): Promise<Buffer> {
  for (let filled = 0; filled < bytes; ) {
    const { bytesRead } = await reads.take(() =>
      file.read(buffer, filled, bytes - filled, position + filled),
    );
    if (bytesRead === 0) throw new Error(`the file ended at byte ${position + filled}`);
    filled += bytesRead;
  }
  return buffer.subarray(0, bytes);
}

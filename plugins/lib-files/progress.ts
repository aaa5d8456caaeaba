/** Streams that say how far they are. */

import { createReadStream } from 'node:fs';
import type { FileOptions } from '@overdub/core/agent';

const READ_BYTES = 1024 * 1024;

/** The bytes of a file, a MiB at a time. */
export function readPieces(path: string, signal: AbortSignal | undefined): AsyncIterable<Uint8Array> {
  return createReadStream(path, {
    highWaterMark: READ_BYTES,
    ...(signal === undefined ? {} : { signal }),
  });
}

/** Passes pieces on and reports their lengths' sum, counted from `before`, out of `total`. */
export async function* reported(
  pieces: AsyncIterable<Uint8Array>,
  { onProgress }: FileOptions,
  total: number,
  before = 0,
): AsyncGenerator<Uint8Array> {
  let done = before;
  for await (const piece of pieces) {
    yield piece;
    done += piece.length;
    onProgress?.(done, total);
  }
}

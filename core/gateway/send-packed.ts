/** Bodies of answers that are compressed already, on their way to the socket. */

import type { FastifyReply } from 'fastify';
import { STORED_END, STORED_HEADER, storedBlocks } from '../domain/stored-body.ts';
import { written } from '../written.ts';
import { FRAMES_TYPE } from './http.ts';

/** Shorter pieces are copied, and leave together. */
const SHORT_BYTES = 16 * 1024;
const JOINED_BYTES = 128 * 1024;

/**
 * Sends frames as they are, in blocks that any zstd reader takes. A piece is read until the next one is asked for, and may be freed
 * then: the system has it. An empty one says that what came before is not to be kept back. Nothing more is asked for when the agent has gone; a failure of `frames` cuts the body off.
 */
export async function sendPacked(reply: FastifyReply, frames: AsyncIterable<Uint8Array>): Promise<void> {
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, { 'content-type': FRAMES_TYPE });
  try {
    for await (const blocks of packed(frames)) {
      await written(raw, blocks);
      if (raw.destroyed) return;
    }
    raw.end();
  } catch (error) {
    raw.destroy();
    throw error;
  }
}

/** Pieces in blocks, as many at a time as belong together. */
async function* packed(frames: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Uint8Array[]> {
  const joined = Buffer.allocUnsafeSlow(JOINED_BYTES);
  let bytes = 0;
  yield [STORED_HEADER];
  for await (const piece of frames) {
    const isShort = piece.length < SHORT_BYTES;
    if (!isShort || piece.length === 0 || bytes + piece.length > JOINED_BYTES) {
      yield [...storedBlocks(joined.subarray(0, bytes)), ...(isShort ? [] : storedBlocks(piece))];
      bytes = 0;
    }
    if (isShort) {
      joined.set(piece, bytes);
      bytes += piece.length;
    }
  }
  yield [...storedBlocks(joined.subarray(0, bytes)), STORED_END];
}

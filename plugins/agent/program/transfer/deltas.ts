/** One chunk as a delta against everything both sides have; the chunk then joins the base, if it `joins`. */

import { encodeFrame, FRAME } from '@overdub/core/agent';
import type { Bases } from './bases.ts';
import { blockBytesFor } from './signatures.ts';

export async function* encodeDelta(
  bases: Bases,
  bytes: Uint8Array,
  joins: boolean,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const growing = bases.index;
  if (growing === undefined) throw new TypeError('a delta needs an index');
  yield* encodeFrame(FRAME.delta, JSON.stringify({ chunks: [bytes.length], ...(joins ? {} : { joins }) }));
  for await (const piece of growing.feature.delta(growing.index, once(bytes), signal)) {
    yield* encodeFrame(FRAME.piece, piece);
  }
  yield* encodeFrame(FRAME.piecesEnd);
  if (!joins || !growing.open) return;
  const parts: Uint8Array[] = [];
  const options = { sourceBytes: bytes.length, blockBytes: blockBytesFor(bytes.length), signal };
  for await (const piece of growing.feature.sign(once(bytes), options)) parts.push(piece);
  growing.append({ signature: Buffer.concat(parts), baseBytes: bytes.length });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

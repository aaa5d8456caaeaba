/** A group of an upload, put together from its pieces. */

import type { MadeFrame } from '../contracts/repository.ts';
import { badFrame } from '../domain/frames.ts';
import type { Pieces } from '../domain/pieces.ts';
import { DIGESTS_LIMIT, GROUP_BYTES, type GroupHead } from '../domain/transfer-bodies.ts';

/** The frame that the pieces make; INPUT_INVALID, before anything is allocated, when it announces too much. */
export async function readGroup(head: GroupHead, pieces: Pieces): Promise<MadeFrame> {
  const { chunks: lengths, encoding, bytes } = checkGroup(head);
  const stored = Buffer.allocUnsafeSlow(bytes);
  let at = 0;
  for await (const piece of pieces) {
    if (piece.length > bytes - at) throw badFrame('a group is longer than it announced');
    stored.set(piece, at);
    at += piece.length;
  }
  if (at < bytes) throw badFrame('a group is shorter than it announced');
  return { encoding, stored, lengths };
}

function checkGroup(head: GroupHead): GroupHead {
  const { chunks, encoding, bytes } = head;
  const proper =
    Array.isArray(chunks) &&
    chunks.length <= DIGESTS_LIMIT &&
    (encoding === 'zstd' || encoding === 'raw') &&
    Number.isInteger(bytes) &&
    bytes > 0 &&
    bytes <= GROUP_BYTES;
  if (!proper) throw badFrame('a group announces what cannot be');
  return head;
}

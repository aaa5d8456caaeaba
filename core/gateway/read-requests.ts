/** What agents ask of an image with: a head, lists of digests, wants of deltas, signatures. Each throws INPUT_INVALID. */

import type { SignedBase } from '../contracts/delta-codec.ts';
import { DIGEST_BYTES, unpackDigests } from '../domain/digest-set.ts';
import { badFrame, FRAME, type Frame, frameJson } from '../domain/frames.ts';
import type { Digest } from '../domain/manifest.ts';
import { DIGESTS_LIMIT, type ReadHead } from '../domain/transfer-bodies.ts';
import { asObject, manifestRef, optionalText } from './fields.ts';

/** Signatures that one request may carry, bytes. */
const MAX_SIGNATURE_BYTES = 48 * 1024 * 1024;
/** Characters of a server's name, and more. */
const MAX_NAME = 255;

/** The next frame of a request that goes on. */
export async function next(frames: AsyncGenerator<Frame>): Promise<Frame> {
  const frame = await frames.next();
  if (frame.done === true) throw badFrame('it stops before its end');
  return frame.value;
}

/** What is read, and for whom. */
export async function readHead(frames: AsyncGenerator<Frame>): Promise<ReadHead> {
  const first = await next(frames);
  if (first.type !== FRAME.head) throw badFrame('it does not begin with a head');
  const head = frameJson<ReadHead>(first);
  optionalText(asObject(head, 'the head'), 'server', MAX_NAME);
  if (head.waited !== undefined) assertPart(head.waited);
  return { ...head, image: manifestRef(head.image, 'image') };
}

/** The part of its time that the agent says it waited. */
export function waitedOf(frame: Frame): number {
  return assertPart(frameJson(frame));
}

function assertPart(waited: unknown): number {
  if (!(typeof waited === 'number' && waited >= 0 && waited <= 1))
    throw badFrame('it waited for a part of its time that is none');
  return waited;
}

/** A signature in pieces and the length of its base behind it; whole in memory, bounded. */
export async function readSignature(first: Frame, frames: AsyncGenerator<Frame>): Promise<SignedBase> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  let frame = first;
  for (; frame.type === FRAME.piece; frame = await next(frames)) {
    bytes += frame.payload.length;
    if (bytes > MAX_SIGNATURE_BYTES) throw badFrame('its signature is too long');
    parts.push(frame.payload);
  }
  if (frame.type !== FRAME.piecesEnd) throw badFrame('a signature is interrupted by another frame');
  const { baseBytes } = frameJson<{ baseBytes?: unknown }>(await next(frames));
  if (!Number.isSafeInteger(baseBytes) || (baseBytes as number) < 0) throw badFrame('its base has no length');
  return { signature: Buffer.concat(parts), baseBytes: baseBytes as number };
}

/** A list, of what is wanted now or later. */
export function digestsOf(frame: Frame): Digest[] {
  const isList = frame.type === FRAME.digests || frame.type === FRAME.later;
  const digests = isList ? unpackDigests(frame.payload) : undefined;
  if (digests === undefined || digests.length > DIGESTS_LIMIT)
    throw badFrame('a list of digests is malformed');
  return digests;
}

/** Chunks that are wanted as a delta, and those that it may lie on. */
export function parseWant(payload: Uint8Array): { target: Digest[]; base: Digest[] } {
  const view = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const [wanted, bases] = payload.length < 4 ? [0, 0] : [view.readUInt16LE(0), view.readUInt16LE(2)];
  if (wanted === 0 || payload.length !== 4 + (wanted + bases) * DIGEST_BYTES) {
    throw badFrame('a want has the wrong length');
  }
  const digests = unpackDigests(payload.subarray(4)) as Digest[];
  return { target: digests.slice(0, wanted), base: digests.slice(wanted) };
}

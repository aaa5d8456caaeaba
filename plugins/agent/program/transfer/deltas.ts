/** One chunk as a delta against everything both sides have; the chunk then joins the base, if it `joins`. */

import { type ContentRef, encodeFrame, FRAME, type InPlace, type KnownInPlace } from '@overdub/core/agent';
import type { Bases, GrowingIndex } from './bases.ts';
import type { ChangedFile } from './sender.ts';
import { blockBytesFor, DELTA_MIN_BYTES, isLogLike, type SignatureStore } from './signatures.ts';

/**
 * Copies from elsewhere than a chunk's own place, bytes, at least: each lets deltas of two chunks lie on one another, on and
 * on while they change in every snapshot, and all of that is read to restore one of them. Where a log follows, deltas do not
 * lie deep, and what a few bytes save in the table they save in the log again.
 */
const FAR_BYTES = 64 * 1024;
/** Of larger files no chunk joins. */
const MAX_JOINING_BYTES = 4 * 1024 ** 3;

/** A file whose chunks are sent as deltas. */
export interface DeltaTarget {
  readonly joins: boolean;
  /** Where it is known what did not change of it: of the `length` bytes at `at`, as a codec takes it. */
  readonly inPlace: ((at: number, length: number) => InPlace) | undefined;
}

/** Undefined when the file's chunks are sent as they are. */
export async function deltaTarget(
  bases: Bases | undefined,
  store: SignatureStore | undefined,
  { entry, before }: ChangedFile,
  logsFollow: boolean,
): Promise<DeltaTarget | undefined> {
  if (bases?.index === undefined || entry.content.bytes < DELTA_MIN_BYTES) return undefined;
  const base = before === undefined ? undefined : bases.near.get(entry.path);
  const signed = base !== undefined && base < bases.virtual && store !== undefined;
  const known = signed ? await knownInPlace(store, entry.content, before as ContentRef) : undefined;
  return {
    // What joins is laid out by the appliance: not gigabytes of what hardly anything else repeats.
    joins: !isLogLike(entry.path) && entry.content.bytes <= MAX_JOINING_BYTES,
    inPlace:
      known === undefined || base === undefined
        ? undefined
        : (at, length) => ({
            known: known(at, length),
            at,
            base,
            ...(logsFollow ? {} : { farBytes: FAR_BYTES }),
          }),
  };
}

/** By the sums of its pages where there are any: the blocks of a very large file are too long to tell. */
async function knownInPlace(
  store: SignatureStore,
  now: ContentRef,
  before: ContentRef,
): Promise<((at: number, length: number) => KnownInPlace) | undefined> {
  if (store.stayed(before, now, 0, 1) !== undefined)
    return (at, length) => ({ stayed: store.stayed(before, now, at, length) ?? [] });
  const signature = await store.get(now.digest);
  return signature === undefined ? undefined : () => ({ signature, baseBytes: now.bytes });
}

/** `at`: where the chunk lies in its file. Once it is through, nobody looks at `bytes` any more. */
export async function* encodeDelta(
  bases: Bases,
  { joins, inPlace }: DeltaTarget,
  bytes: Uint8Array,
  at: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const growing = bases.index;
  if (growing === undefined) throw new TypeError('a delta needs an index');
  yield* encodeFrame(FRAME.delta, JSON.stringify({ chunks: [bytes.length], ...(joins ? {} : { joins }) }));
  const options = {
    joins: joins && growing.admits(),
    ...(inPlace === undefined ? {} : { inPlace: inPlace(at, bytes.length) }),
    signal,
  };
  const { feature, index } = growing;
  const delta = feature.encode?.(index, bytes, options) ?? inSteps(growing, bytes, options);
  for await (const piece of delta) {
    // A codec may give out parts of what it was given.
    const own = piece.buffer === bytes.buffer ? Uint8Array.prototype.slice.call(piece) : piece;
    yield* encodeFrame(FRAME.piece, own);
  }
  yield* encodeFrame(FRAME.piecesEnd);
}

/** For codecs that cannot do it in one. */
async function* inSteps(
  { feature, index }: GrowingIndex,
  bytes: Uint8Array,
  { joins, signal }: { readonly joins: boolean; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  yield* feature.delta(index, once(bytes), signal);
  if (!joins) return;
  const parts: Uint8Array[] = [];
  const options = { sourceBytes: bytes.length, blockBytes: blockBytesFor(bytes.length), signal };
  for await (const piece of feature.sign(once(bytes), options)) parts.push(piece);
  index.append({ signature: Buffer.concat(parts), baseBytes: bytes.length });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

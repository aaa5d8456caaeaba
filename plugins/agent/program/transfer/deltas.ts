/** One chunk as a delta against everything both sides have; the chunk then joins the base, if it `joins`. */

import { type ContentRef, encodeFrame, FRAME, type InPlace } from '@overdub/core/agent';
import type { Bases, GrowingIndex } from './bases.ts';
import type { ChangedFile } from './sender.ts';
import { blockBytesFor, DELTA_MIN_BYTES, isLogLike, type SignatureStore } from './signatures.ts';

/** A file whose chunks are sent as deltas. */
export interface DeltaTarget {
  readonly joins: boolean;
  /** Where the file was signed before and now: what did not change need not be looked for. */
  readonly inPlace: Omit<InPlace, 'at'> | undefined;
}

/** Undefined when the file's chunks are sent as they are. */
export async function deltaTarget(
  bases: Bases | undefined,
  store: SignatureStore | undefined,
  { entry, before }: ChangedFile,
): Promise<DeltaTarget | undefined> {
  if (bases?.index === undefined || entry.content.bytes < DELTA_MIN_BYTES) return undefined;
  const base = before === undefined ? undefined : bases.near.get(entry.path);
  const signed = base !== undefined && base < bases.virtual;
  const inPlace = signed ? await signatureNow(store, entry.content, base) : undefined;
  return { joins: !isLogLike(entry.path), inPlace };
}

async function signatureNow(
  store: SignatureStore | undefined,
  content: ContentRef,
  base: number,
): Promise<DeltaTarget['inPlace']> {
  const signature = await store?.get(content.digest);
  return signature === undefined ? undefined : { now: { signature, baseBytes: content.bytes }, base };
}

/** `at`: where the chunk lies in its file. */
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
    ...(inPlace === undefined ? {} : { inPlace: { ...inPlace, at } }),
    signal,
  };
  const { feature, index } = growing;
  const delta = feature.encode?.(index, bytes, options) ?? inSteps(growing, bytes, options);
  for await (const piece of delta) yield* encodeFrame(FRAME.piece, piece);
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

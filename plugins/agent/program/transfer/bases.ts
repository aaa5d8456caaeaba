/** Earlier contents as bases of deltas: which ones, in which order, and the index over their signatures. */

import {
  BASE_LIMIT,
  type ContentRef,
  type Digest,
  type SignatureFeature,
  type SignatureIndex,
  type SignedBase,
} from '@overdub/core/agent';
import type { ChangedFile } from './sender.ts';
import { DELTA_MIN_BYTES, isLogLike, type SignatureStore } from './signatures.ts';

/** Signatures loaded for one upload, bytes: the index over them is half as large again. */
const MAX_SIGNATURE_BYTES = 40 * 1024 * 1024;
/** The index may grow to this by what is sent, bytes. */
const MAX_INDEX_BYTES = 96 * 1024 * 1024;
/** A signature is asked of the appliance when it costs at most this share of the bytes that would be sent. */
const WORTH_ASKING = 0.2;
/** Bytes of signature for each byte of content: 16 for 512. */
const SIGNATURE_SHARE = 16 / 512;

export interface Bases {
  /** What the upload's head names: bases of deltas first, then what other files resemble. */
  readonly files: readonly { readonly path: string; readonly digest: Digest }[];
  readonly virtual: number;
  /** Path → position in `files`. */
  readonly near: ReadonlyMap<string, number>;
  /** Absent when no delta can be made. */
  readonly index?: GrowingIndex;
}

/** The virtual base: earlier contents, then what this very upload has sent. */
export class GrowingIndex {
  readonly feature: SignatureFeature;
  readonly index: SignatureIndex;
  #open = true;

  constructor(feature: SignatureFeature, index: SignatureIndex) {
    this.feature = feature;
    this.index = index;
  }

  /** May what is sent next join? Once full never again: later offsets would no longer agree with the appliance's. */
  admits(): boolean {
    this.#open &&= this.index.bytes < MAX_INDEX_BYTES;
    return this.#open;
  }
}

export async function loadBases(
  store: SignatureStore | undefined,
  files: readonly ChangedFile[],
  missing: ReadonlySet<Digest>,
  ask: (content: ContentRef) => AsyncIterable<Uint8Array>,
): Promise<Bases> {
  const withBefore = files.filter((file) => (file.before?.bytes ?? 0) > 0).slice(0, BASE_LIMIT);
  const signed: SignedFile[] = [];
  let bytes = 0;
  for (const file of withBefore) {
    if (store === undefined || bytes >= MAX_SIGNATURE_BYTES) break;
    const signature = await signatureOf(store, file, missing, ask);
    if (signature === undefined) continue;
    bytes += signature.length;
    signed.push({ file, base: { signature, baseBytes: (file.before as ContentRef).bytes } });
  }
  const index = store === undefined ? undefined : await indexOver(store, signed);
  const virtual = new Set(index === undefined ? [] : signed.map(({ file }) => file));
  const order = [...virtual, ...withBefore.filter((file) => !virtual.has(file))];
  return {
    files: order.map(({ entry, before }) => ({ path: entry.path, digest: (before as ContentRef).digest })),
    virtual: virtual.size,
    near: new Map(order.map(({ entry }, at) => [entry.path, at])),
    ...(index === undefined ? {} : { index }),
  };
}

interface SignedFile {
  readonly file: ChangedFile;
  readonly base: SignedBase;
}

/** Without an index the files are sent whole: a signature that power loss cut short must not fail a snapshot. */
async function indexOver(
  store: SignatureStore,
  signed: readonly SignedFile[],
): Promise<GrowingIndex | undefined> {
  if (signed.length === 0) return undefined;
  try {
    return new GrowingIndex(store.feature, await store.feature.index(signed.map(({ base }) => base)));
  } catch {
    await store.forget(signed.map(({ file }) => (file.before as ContentRef).digest));
    return undefined;
  }
}

async function signatureOf(
  store: SignatureStore,
  { entry, before }: ChangedFile,
  missing: ReadonlySet<Digest>,
  ask: (content: ContentRef) => AsyncIterable<Uint8Array>,
): Promise<Uint8Array | undefined> {
  if (
    before === undefined ||
    isLogLike(entry.path) ||
    before.bytes < DELTA_MIN_BYTES ||
    (entry.content?.bytes ?? 0) < DELTA_MIN_BYTES
  ) {
    return undefined;
  }
  const kept = await store.get(before.digest);
  if (kept !== undefined) return kept;
  const chunks = entry.content?.chunks ?? [];
  const toSend = chunks.reduce((sum, chunk) => sum + (missing.has(chunk.digest) ? chunk.bytes : 0), 0);
  if (before.bytes * SIGNATURE_SHARE > toSend * WORTH_ASKING) return undefined;
  const parts: Uint8Array[] = [];
  for await (const piece of ask(before)) parts.push(piece);
  return Buffer.concat(parts);
}

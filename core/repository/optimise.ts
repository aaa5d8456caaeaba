/**
 * Compresses again, harder and in the largest frames there may be, what snapshots had to store in a hurry: pack by pack, in
 * the order they were stored. Each chunk keeps its form, and a delta its bases, so no depth changes and nothing else needs to know. A new pack is
 * verified and durable before the index points to it; from then on nothing lives in the old one, and a collection
 * removes it. Killed anywhere, both packs are whole, and at worst the work is done again.
 */

import type { OptimiseOptions, OptimiseResult } from '../contracts/repository.ts';
import { digestOf } from '../domain/content-ref.ts';
import type { Digest } from '../domain/manifest.ts';
import { release } from '../domain/release.ts';
import type { ChunkIndex, StoredPack } from './chunk-index.ts';
import { damaged } from './damage.ts';
import { HEADER_BYTES, isOptimised, type PackedFrame } from './pack-format.ts';
import { packName } from './pack-queue.ts';
import { type FinishedPack, type NewChunk, PackWriter } from './pack-writer.ts';
import type { PortableStore } from './portable-store.ts';
import { readPackIndex } from './reconcile.ts';
import { decompress } from './zstd.ts';

export interface OptimiseParts {
  readonly store: PortableStore;
  readonly index: ChunkIndex;
}

/** Rewrites every pack that was not rewritten yet. Stops between two packs when the signal says so. */
export async function optimisePacks(parts: OptimiseParts, options: OptimiseOptions): Promise<OptimiseResult> {
  const totals = { packs: 0, bytesBefore: 0, bytesAfter: 0 };
  const damagedPacks = new Set(parts.index.damagedPacks());
  for (const pack of parts.index.packList()) {
    options.signal?.throwIfAborted();
    const live = parts.index.chunksIn(pack.id);
    if (live.size === 0 || damagedPacks.has(pack.name) || (await isDone(parts.store, pack))) continue;
    const began = performance.now();
    const bytesAfter = await optimisePack(parts, pack, live);
    totals.packs += 1;
    totals.bytesBefore += pack.bytes;
    totals.bytesAfter += bytesAfter;
    options.onProgress?.({ ...totals });
    await options.pause?.(performance.now() - began);
  }
  return totals;
}

async function isDone(store: PortableStore, { name }: StoredPack): Promise<boolean> {
  const header = await store.read(name, { offset: 0, length: HEADER_BYTES });
  return header === undefined || isOptimised(header);
}

/** Returns the bytes that the chunks of this pack take from now on. */
async function optimisePack(
  { store, index }: OptimiseParts,
  pack: StoredPack,
  live: ReadonlySet<Digest>,
): Promise<number> {
  const frames = await readPackIndex(store, pack.name, pack.bytes);
  const writer = new PackWriter('idle');
  const payloads = new Map<Digest, Digest>();
  for (const frame of frames) {
    for (const chunk of await liveChunks(store, pack, frame, live)) {
      payloads.set(chunk.digest, digestOf(chunk.payload));
      writer.append(chunk);
      await writer.settle();
    }
  }
  const made = await writer.finish();
  if (made.bytes > pack.bytes) return pack.bytes;
  await assertSame(made, payloads);
  const name = packName();
  await store.write(name, made.pieces);
  const moved = made.frames.map((frame) => ({ ...frame, from: pack.id }));
  index.movePack(name, made.bytes, moved);
  return made.bytes;
}

/** What the index still looks for in this frame; whole chunks are checked against their digest on the way. */
async function liveChunks(
  store: PortableStore,
  { name }: StoredPack,
  frame: PackedFrame,
  live: ReadonlySet<Digest>,
): Promise<NewChunk[]> {
  const wanted = frame.chunks.filter((chunk) => live.has(chunk.digest));
  if (wanted.length === 0) return [];
  const stored = await store.read(name, { offset: frame.offset, length: frame.storedBytes });
  if (stored === undefined || stored.length !== frame.storedBytes)
    throw damaged(`The pack ${name} is cut off.`);
  const raw = await decompress(stored, frame).catch((error: unknown) => {
    throw damaged(`A frame of the pack ${name} does not decompress.`, error);
  });
  return wanted.map(({ digest, bytes, at, payloadBytes, delta }) => {
    const payload = raw.subarray(at, at + payloadBytes);
    if (delta === undefined && digestOf(payload) !== digest) {
      throw damaged(`Chunk ${digest} in ${name} does not match its digest.`);
    }
    return { digest, bytes, payload, ...(delta === undefined ? {} : { delta }) };
  });
}

/** A compressor's bug must not replace sound bytes: every payload must come back before the pack counts. */
async function assertSame(made: FinishedPack, payloads: ReadonlyMap<Digest, Digest>): Promise<void> {
  const stored = made.pieces.slice(1, -1);
  for (const [at, frame] of made.frames.entries()) {
    const raw = await decompress(stored[at] as Uint8Array, frame);
    for (const chunk of frame.chunks) {
      const payload = raw.subarray(chunk.at, chunk.at + chunk.payloadBytes);
      if (digestOf(payload) !== payloads.get(chunk.digest)) {
        throw new Error(`compressing chunk ${chunk.digest} again did not give back its bytes`);
      }
    }
    if (frame.encoding === 'zstd') release(raw);
  }
}

/**
 * Compresses again, harder and in the largest frames there may be, what snapshots had to store in a hurry: pack by pack, in
 * the order they were stored. A delta stays as it is. So does a whole chunk, unless much of it lies in whole chunks of other
 * frames that this run knows: then it becomes a delta of depth 1 against them, provided that nothing is made from it,
 * so that no other depth changes. Packs that were done before are read for what they hold, as far as {@link LEARNED_PACKS}
 * goes. Every chunk is verified before it is taken over, deltas by making them: the new pack is all that remains of it. A pack in
 * which something is damaged is left as it is. A new pack is verified and durable before the index points to it; from then on nothing
 * lives in the old one but chunks that were taken as a base meanwhile, which stay whole there, and a collection removes it.
 * Killed anywhere, both packs are whole, and at worst the work is done again.
 */

import type { Log } from '../../contracts/log.ts';
import type { OptimiseOptions, OptimiseResult } from '../../contracts/repository.ts';
import { digestOf } from '../../domain/content-ref.ts';
import type { Digest } from '../../domain/manifest.ts';
import { collectNow, PassedBytes, release } from '../../domain/release.ts';
import { OverdubError } from '../../errors.ts';
import { WaitingGarbage } from '../../waiting-garbage.ts';
import type { ChunkIndex, MovedFrame, StoredPack } from '../chunk-index/chunk-index.ts';
import type { BaseWatch } from '../chunk-index/form-changes.ts';
import { readPackIndex } from '../chunk-index/read-pack-index.ts';
import type { DeltaSearch } from '../deltas/delta-search.ts';
import { RepeatSearch } from '../deltas/repeat-search.ts';
import { packName } from '../ingest/pack-queue.ts';
import { decompress } from '../packs/frame-encoding.ts';
import { HEADER_BYTES, isOptimised, type PackedChunk, type PackedFrame } from '../packs/pack-format.ts';
import { type FinishedPack, type NewChunk, PackWriter } from '../packs/pack-writer.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import { damaged, isDamage } from '../store/damage.ts';
import type { PortableStore } from '../store/portable-store.ts';

/** So many packs that were rewritten before are read again for what they hold: some 250 MB, a few seconds. */
const LEARNED_PACKS = 32;

export interface OptimiseParts {
  readonly store: PortableStore;
  readonly index: ChunkIndex;
  /** Closed by the caller. */
  readonly reader: ChunkReader;
  readonly search: DeltaSearch;
  readonly log: Log;
  /** May an open session be about to store something that is made from this chunk? */
  readonly isLeanedOn: (digest: Digest) => boolean;
}

/** What one run carries from pack to pack. */
interface Run extends OptimiseParts {
  readonly repeats: RepeatSearch;
  readonly garbage: WaitingGarbage;
  readonly mayChange: (digest: Digest) => boolean;
  readonly signal: AbortSignal | undefined;
}

/**
 * Rewrites every pack that was not rewritten yet. Stops between two chunks when the signal says so: a pack that is not done stays as it
 * was. The list of packs is taken before anything is waited for.
 */
export async function optimisePacks(parts: OptimiseParts, options: OptimiseOptions): Promise<OptimiseResult> {
  const packs = parts.index.packList();
  const watch = await parts.index.forms.watchBases();
  try {
    return await rewrite(runOf(parts, watch, options.signal), packs, options);
  } finally {
    watch.end();
  }
}

function runOf(parts: OptimiseParts, watch: BaseWatch, signal: AbortSignal | undefined): Run {
  const { reader, search, isLeanedOn } = parts;
  const repeats = new RepeatSearch({ search, read: (digest) => reader.read(digest), signal });
  const mayChange = (digest: Digest) => !watch.has(digest) && !isLeanedOn(digest);
  return { ...parts, repeats, garbage: new WaitingGarbage(), mayChange, signal };
}

async function rewrite(
  run: Run,
  packs: readonly StoredPack[],
  options: OptimiseOptions,
): Promise<OptimiseResult> {
  const totals = { packs: 0, bytesBefore: 0, bytesAfter: 0 };
  const damagedPacks = new Set(run.index.damagedPacks());
  const done: StoredPack[] = [];
  for (const pack of packs) {
    options.signal?.throwIfAborted();
    const live = run.index.chunksIn(pack.id);
    if (live.size === 0 || damagedPacks.has(pack.name)) continue;
    if (await isDone(run.store, pack)) {
      done.push(pack);
      if (done.length > LEARNED_PACKS) done.shift();
      continue;
    }
    const began = performance.now();
    for (const former of done.splice(0)) {
      options.signal?.throwIfAborted();
      await learn(run, former);
    }
    const bytesAfter = await optimisePack(run, pack, live).catch((error) => leave(run, pack, error));
    collectNow();
    if (bytesAfter !== undefined) {
      totals.packs += 1;
      totals.bytesBefore += pack.bytes;
      totals.bytesAfter += bytesAfter;
      options.onProgress?.({ ...totals });
    }
    await options.pause?.(performance.now() - began);
  }
  return totals;
}

/** One pack that is damaged, or cannot be verified without its codec, does not keep the others from being optimised. */
function leave({ log }: Run, pack: StoredPack, error: unknown): undefined {
  const isLeft = isDamage(error) || (error instanceof OverdubError && error.code === 'DRIVER_MISSING');
  if (!isLeft) throw error;
  log.warn({ pack: pack.name, error: String(error) }, 'a pack is left as it is: not all of it can be read');
}

async function isDone(store: PortableStore, { name }: StoredPack): Promise<boolean> {
  const header = await store.read(name, { offset: 0, length: HEADER_BYTES });
  return header === undefined || isOptimised(header);
}

/** Has what an optimised pack holds be known as bases for those behind it. */
async function learn(run: Run, pack: StoredPack): Promise<void> {
  const { index, repeats, log } = run;
  const passed = new PassedBytes();
  try {
    const live = index.chunksIn(pack.id);
    for (const frame of await framesOf(run, pack)) {
      const wanted = frame.chunks.filter(({ digest, delta }) => delta === undefined && live.has(digest));
      for (const chunk of await verified(run, pack, frame, wanted)) {
        const anchors = repeats.sample(chunk);
        if (anchors !== undefined) repeats.add(chunk, anchors, `${pack.id}:${frame.offset}`);
      }
      passed.add(frame.rawBytes);
    }
  } catch (error) {
    // Verifying is somebody else's: here it only means that fewer bases are known.
    log.warn({ pack: pack.name, error: String(error) }, 'an optimised pack cannot be read for bases');
  }
  collectNow();
}

/** Returns the bytes that the chunks of this pack take from now on. REPOSITORY_DAMAGED and DRIVER_MISSING before anything has changed. */
async function optimisePack(run: Run, pack: StoredPack, live: ReadonlySet<Digest>): Promise<number> {
  const { store, index } = run;
  const writer = new PackWriter('idle');
  const payloads = new Map<Digest, Digest>();
  const changed = new Map<Digest, NewChunk>();
  for (const frame of await framesOf(run, pack)) {
    const wanted = frame.chunks.filter(({ digest }) => live.has(digest));
    for (const chunk of await verified(run, pack, frame, wanted)) {
      run.signal?.throwIfAborted();
      const delta = await place(run, chunk, writer, pack);
      if (delta !== undefined) changed.set(chunk.digest, delta);
      payloads.set(chunk.digest, digestOf((delta ?? chunk).payload));
      await writer.settle();
      run.garbage.check();
    }
  }
  // A frame with a delta in it cannot go out whole when an image is restored.
  writer.closeGroup();
  for (const delta of changed.values()) writer.append(delta);
  const made = await writer.finish();
  if (made.bytes > pack.bytes) return pack.bytes;
  await assertSame(made, payloads);
  const name = packName();
  await store.write(name, made.pieces);
  const { mayChange } = run;
  const moved = made.frames.map((frame): MovedFrame => {
    const isNew = frame.chunks.some(({ digest }) => changed.has(digest));
    return { ...frame, from: pack.id, ...(isNew ? { mayChange } : {}) };
  });
  index.movePack(name, made.bytes, moved);
  return made.bytes;
}

/** Appends the chunk as it is, or returns the delta that it is to be stored as. */
async function place(
  { repeats, mayChange }: Run,
  chunk: NewChunk,
  writer: PackWriter,
  { id }: StoredPack,
): Promise<NewChunk | undefined> {
  const nameOf = (frame: number) => `${id}:${frame}`;
  const anchors = repeats.sample(chunk);
  if (anchors !== undefined && mayChange(chunk.digest)) {
    const frame = writer.openFrame === undefined ? undefined : nameOf(writer.openFrame);
    const delta = await repeats.find(chunk, anchors, frame);
    if (delta !== undefined) return delta;
  }
  writer.append(chunk);
  if (anchors !== undefined) repeats.add(chunk, anchors, nameOf(writer.frame));
  return undefined;
}

/** The pack's own list of frames. REPOSITORY_DAMAGED when it cannot be read. */
async function framesOf({ store }: Run, { name, bytes }: StoredPack): Promise<PackedFrame[]> {
  try {
    return await readPackIndex(store, name, bytes);
  } catch (error) {
    if (error instanceof OverdubError) throw error;
    throw damaged(`The index of the pack ${name} is damaged.`, error);
  }
}

/** These chunks of the frame, each verified; what was only read wrong once is not damaged. */
async function verified(
  run: Run,
  pack: StoredPack,
  frame: PackedFrame,
  wanted: readonly PackedChunk[],
): Promise<NewChunk[]> {
  if (wanted.length === 0) return [];
  try {
    return await readFrame(run, pack, frame, wanted);
  } catch (error) {
    if (!isDamage(error)) throw error;
    return await readFrame(run, pack, frame, wanted);
  }
}

async function readFrame(
  { reader }: Run,
  { name }: StoredPack,
  frame: PackedFrame,
  wanted: readonly PackedChunk[],
): Promise<NewChunk[]> {
  const [first] = wanted as [PackedChunk];
  const raw = await reader.readFrame(first.digest, name, frame);
  const chunks: NewChunk[] = [];
  for (const chunk of wanted) {
    const { digest, bytes, at, payloadBytes, delta } = chunk;
    const payload = raw.subarray(at, at + payloadBytes);
    await reader.verify(digest, name, chunk, payload);
    chunks.push({ digest, bytes, payload, ...(delta === undefined ? {} : { delta }) });
  }
  return chunks;
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
    if (frame.encoding !== 'raw') release(raw);
  }
}

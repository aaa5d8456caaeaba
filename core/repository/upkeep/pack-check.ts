/** One pack, looked at: its index, and if asked every chunk that is read from it. */

import { digestOf } from '../../domain/content-ref.ts';
import type { Digest } from '../../domain/manifest.ts';
import { OverdubError } from '../../errors.ts';
import type { ChunkIndex } from '../chunk-index/chunk-index.ts';
import { readPackIndex } from '../chunk-index/read-pack-index.ts';
import { decompress } from '../packs/frame-encoding.ts';
import { MAX_DEPTH, type PackedChunk, type PackedFrame } from '../packs/pack-format.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import type { PortableStore } from '../store/portable-store.ts';
import { whyOf } from './damage-walk.ts';

/** Frames that the storage refuses to give before it counts as broken as a whole, rather than here and there. */
const MAX_FAILURES = 100;

const DAMAGE: ReadonlySet<OverdubError['code']> = new Set([
  'REPOSITORY_DAMAGED',
  'PLUGIN_FAILED',
  'TIMED_OUT',
]);

export interface PackCheckParts {
  readonly store: PortableStore;
  readonly index: ChunkIndex;
  readonly reader: ChunkReader;
  readonly signal?: AbortSignal | undefined;
  /** Frames that the storage refused to give so far. */
  readonly failures: { count: number };
}

export interface CheckedPack {
  /** What is wrong with it; absent when nothing is. */
  readonly why?: string;
  readonly chunks: number;
  readonly bytes: number;
}

/** Its index as it lies in the store; what is wrong with it, when something is. */
export async function checkPackIndex(
  store: PortableStore,
  name: string,
  bytes: number,
): Promise<string | undefined> {
  try {
    await readPackIndex(store, name, bytes);
    return undefined;
  } catch (error) {
    return `its index is damaged: ${whyOf(error)}`;
  }
}

/**
 * Reads every chunk that lies there, anew from the store. A chunk that cannot be read counts as missing from then on;
 * one that can counts as sound again.
 */
export async function checkPackData(
  parts: PackCheckParts,
  name: string,
  bytes: number,
): Promise<CheckedPack> {
  const { store, index } = parts;
  const frames = await readPackIndex(store, name, bytes).catch(() => index.framesOf(name));
  let [chunks, read, bad] = [0, 0, 0];
  let first: string | undefined;
  for (const frame of frames) {
    parts.signal?.throwIfAborted();
    const here = frame.chunks.filter((chunk) => liesHere(index, name, frame, chunk));
    if (here.length === 0) continue;
    read += frame.storedBytes;
    chunks += here.length;
    for (const [chunk, why] of await checkFrame(parts, name, frame, here)) {
      if (why === undefined) {
        index.suspects.clear(chunk.digest);
        continue;
      }
      index.suspects.mark(chunk.digest);
      bad += 1;
      first ??= why;
    }
  }
  return {
    ...(first === undefined ? {} : { why: `${bad} of its chunks are damaged: ${first}` }),
    chunks,
    bytes: read,
  };
}

/**
 * Gives chunks of which a read failed a second look: where the storage has recovered, or the base that a delta is made
 * from was stored anew, they count as sound again.
 */
export async function recheckSuspects(
  parts: Pick<PackCheckParts, 'index' | 'reader'> & { readonly signal?: AbortSignal | undefined },
): Promise<void> {
  // A delta may hang on another that is healed only after it: as often as deltas lie in a row.
  for (let turn = 0, healed = 1; turn <= MAX_DEPTH && healed > 0; turn++) {
    healed = 0;
    for (const digest of parts.index.suspects.all()) {
      parts.signal?.throwIfAborted();
      const why = await failureOf(() => parts.reader.recheck(digest));
      if (why !== undefined) continue;
      parts.index.suspects.clear(digest);
      healed += 1;
    }
  }
}

/** What is wrong with a chunk. */
interface Wrong {
  readonly why: string;
  /** Digest of what was read of it; absent where its frame could not be read. */
  readonly payload?: Digest;
}

/** What was found in a frame: what is wrong, where anything is. */
interface Look {
  readonly wrong: ReadonlyMap<PackedChunk, Wrong>;
  /** The storage would not give it, however often it was asked. */
  readonly isRefused?: true;
}

/** A frame in which something is wrong is read once more: what was only read wrong once is not damaged. */
async function checkFrame(
  parts: PackCheckParts,
  name: string,
  frame: PackedFrame,
  chunks: readonly PackedChunk[],
): Promise<[PackedChunk, string | undefined][]> {
  let { wrong, isRefused } = await lookAt(parts, name, frame, chunks);
  if (wrong.size > 0 && !isRefused) ({ wrong } = await lookAt(parts, name, frame, [...wrong.keys()], wrong));
  return chunks.map((chunk) => [chunk, wrong.get(chunk)?.why]);
}

/** `former`: what was wrong at the first look. */
async function lookAt(
  { store, reader, failures }: PackCheckParts,
  name: string,
  frame: PackedFrame,
  chunks: readonly PackedChunk[],
  former?: Look['wrong'],
): Promise<Look> {
  let raw: Uint8Array;
  try {
    const stored = await store.read(name, { offset: frame.offset, length: frame.storedBytes });
    if (stored?.length !== frame.storedBytes) throw new Error('the pack is cut off or gone');
    raw = await decompress(stored, frame);
  } catch (error) {
    const isRefused = error instanceof OverdubError;
    // An unreadable sector is damage like any; a disk that is gone is not.
    if (isRefused && ++failures.count > MAX_FAILURES) throw error;
    const wrong = new Map(chunks.map((chunk) => [chunk, { why: whyOf(error) }]));
    return isRefused ? { wrong, isRefused } : { wrong };
  }
  const wrong = new Map<PackedChunk, Wrong>();
  for (const chunk of chunks) {
    const payload = raw.subarray(chunk.at, chunk.at + chunk.payloadBytes);
    const known = former?.get(chunk);
    // Bases were read anew already: the same bytes would be as wrong, for as many reads again.
    const isSame = known?.payload !== undefined && known.payload === digestOf(payload);
    const why = isSame ? known.why : await failureOf(() => reader.verify(chunk.digest, name, chunk, payload));
    if (why !== undefined) wrong.set(chunk, { why, payload: digestOf(payload) });
  }
  return { wrong };
}

/** DRIVER_MISSING is no damage, and means that nothing can be said: it is thrown. */
async function failureOf(check: () => Promise<void>): Promise<string | undefined> {
  try {
    await check();
    return undefined;
  } catch (error) {
    const damage = error instanceof OverdubError && DAMAGE.has(error.code);
    if (damage) return error.message;
    throw error;
  }
}

function liesHere(index: ChunkIndex, name: string, frame: PackedFrame, { digest, at }: PackedChunk): boolean {
  const place = index.find(digest);
  return place?.pack === name && place.frame.offset === frame.offset && place.at === at;
}

import { rm } from 'node:fs/promises';
import type { Log } from '../../contracts/log.ts';
import {
  decodeFooter,
  decodeIndex,
  FOOTER_BYTES,
  type ListedFrame,
  listIndex,
  type PackedFrame,
} from '../packs/pack-format.ts';
import type { PortableStore } from '../store/portable-store.ts';
import { ChunkIndex } from './chunk-index.ts';

export const PACK_PREFIX = 'packs/';
/** One read from the end usually holds footer and index both. */
const TAIL_BYTES = 64 * 1024;

/**
 * Opens the chunk index of a repository and makes it agree with the packs there are: unknown packs are added;
 * a missing or damaged index, or one that knows packs which are gone, is made anew.
 */
export async function openChunkIndex(
  path: string,
  repositoryId: string,
  store: PortableStore,
  log: Log,
): Promise<ChunkIndex> {
  const index = await openOrRemake(path, repositoryId, log);
  try {
    await reconcile(index, store, log);
    return index;
  } catch (error) {
    index.close();
    throw error;
  }
}

async function openOrRemake(path: string, repositoryId: string, log: Log): Promise<ChunkIndex> {
  try {
    const index = new ChunkIndex(path);
    index.repositoryId ??= repositoryId;
    if (index.repositoryId === repositoryId) return index;
    index.close();
    log.warn({ path }, 'the chunk index belongs to another repository; making it anew');
  } catch (error) {
    log.warn({ path, error: String(error) }, 'the chunk index cannot be used; making it anew');
  }
  for (const suffix of ['', '-wal', '-shm']) await rm(`${path}${suffix}`, { force: true });
  const index = new ChunkIndex(path);
  index.repositoryId = repositoryId;
  return index;
}

/** Name → length of every pack that the store has now. */
export async function storedPacks(store: PortableStore): Promise<Map<string, number>> {
  const present = new Map<string, number>();
  for await (const blob of store.list(PACK_PREFIX)) present.set(blob.name, blob.bytes);
  return present;
}

async function reconcile(index: ChunkIndex, store: PortableStore, log: Log): Promise<void> {
  const present = await storedPacks(store);
  index.settleCondemned(present);
  const known = index.packs();
  const lost = [...known].filter(([name, bytes]) => present.get(name) !== bytes);
  if (lost.length > 0) {
    const names = lost.slice(0, 10).map(([name]) => name);
    log.error({ packs: names, count: lost.length }, 'packs are gone or changed their length; indexing anew');
    index.clear();
    known.clear();
  }
  let added = 0;
  for (const [name, bytes] of present) {
    if (known.has(name)) continue;
    added += 1;
    await addPack(index, store, log, name, bytes);
  }
  if (added === 0) return;
  const forgotten = index.resolveDepths();
  log.info({ packs: added, forgotten }, 'packs added to the chunk index');
}

async function addPack(
  index: ChunkIndex,
  store: PortableStore,
  log: Log,
  name: string,
  bytes: number,
): Promise<void> {
  try {
    index.addPack(name, bytes, await readPackIndex(store, name, bytes));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    log.error({ pack: name }, `${name} is damaged: ${why}; its chunks count as missing`);
    index.addDamagedPack(name, bytes);
  }
}

/** The frames of a stored pack. Throws when the pack is truncated or malformed. */
export async function readPackIndex(
  store: PortableStore,
  name: string,
  bytes: number,
): Promise<PackedFrame[]> {
  const { index, footer } = await readIndex(store, name, bytes);
  return decodeIndex(index, footer);
}

/** Like {@link readPackIndex}, to be kept. */
export async function readPackList(
  store: PortableStore,
  name: string,
  bytes: number,
): Promise<ListedFrame[]> {
  const { index, footer } = await readIndex(store, name, bytes);
  return listIndex(index, footer);
}

async function readIndex(store: PortableStore, name: string, bytes: number) {
  const start = Math.max(0, bytes - TAIL_BYTES);
  const tail = await store.read(name, { offset: start, length: bytes - start });
  if (tail === undefined || tail.length < FOOTER_BYTES) throw new Error('it is too short to be a pack');
  const footer = decodeFooter(tail.subarray(tail.length - FOOTER_BYTES), bytes);
  const range = { offset: footer.indexOffset, length: footer.indexBytes };
  const index =
    footer.indexOffset >= start
      ? tail.subarray(footer.indexOffset - start, tail.length - FOOTER_BYTES)
      : await store.read(name, range);
  if (index === undefined) throw new Error('it vanished');
  return { index, footer };
}

import { rm } from 'node:fs/promises';
import type { Log } from '../../contracts/log.ts';
import type { PortableStore } from '../store/portable-store.ts';
import { ChunkIndex } from './chunk-index.ts';
import { readPackIndex } from './read-pack-index.ts';

export const PACK_PREFIX = 'packs/';
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

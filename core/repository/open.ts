import { mkdir, readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { BlobStore } from '../contracts/blob-store.ts';
import type { Clock } from '../contracts/clock.ts';
import type { DeltaCodec } from '../contracts/delta-codec.ts';
import type { Log } from '../contracts/log.ts';
import type { Repository } from '../contracts/repository.ts';
import { openChunkIndex } from './chunk-index/reconcile.ts';
import { type DeltaChoice, DeltaSearch } from './deltas/delta-search.ts';
import { SimilarChunks } from './deltas/similar-chunks.ts';
import { ChunkReader } from './reading/chunk-reader.ts';
import { BlobRepository } from './repository.ts';
import { openFormat } from './store/format.ts';
import { PortableStore } from './store/portable-store.ts';
import { RecordStore } from './store/records.ts';

export interface OpenRepositoryOptions {
  /** Owned from here on: closed with the repository, also when opening fails. */
  readonly store: BlobStore;
  /** Tried for new chunks in this order; all are needed that stored chunks name. */
  readonly codecs: readonly DeltaCodec[];
  /** Overrules the choice among measured forms: a codec's name, or `whole`. */
  readonly choose?: (request: DeltaChoice) => Promise<{ readonly codec: string } | undefined>;
  /** A directory of its own for the chunk index, which may be lost: it is made again. */
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Opens the repository in a blob store; an empty store becomes one. STATE_LOCKED while another appliance uses
 * it, CONFLICT when a newer Overdub wrote it, STATE_UNWRITABLE when the store or state directory cannot be written.
 */
export async function openRepository(options: OpenRepositoryOptions): Promise<Repository> {
  const { codecs, choose, stateDir, clock, log } = options;
  const store = new PortableStore(options.store, { clock, log });
  try {
    await store.lock(`the appliance on ${hostname()}, process ${process.pid}`);
    const format = await openFormat(store, clock);
    await prepareStateDir(stateDir);
    const index = await openChunkIndex(join(stateDir, 'chunks.db'), format.id, store, log);
    const reader = new ChunkReader({ store, index, codecs, stateDir });
    const search = new DeltaSearch({ codecs, clock, log, ...(choose === undefined ? {} : { choose }) });
    const records = new RecordStore(store, log);
    const similar = await openSimilar(join(stateDir, 'similar.db'), log);
    return new BlobRepository({ store, index, reader, search, similar, records, stateDir, log });
  } catch (error) {
    await options.store.close();
    throw error;
  }
}

/** A damaged one is begun anew: it is only a cache. */
async function openSimilar(path: string, log: Log): Promise<SimilarChunks> {
  try {
    return new SimilarChunks(path);
  } catch (error) {
    log.warn({ path, error: String(error) }, 'the record of similar chunks cannot be used; making it anew');
    for (const suffix of ['', '-wal', '-shm']) await rm(`${path}${suffix}`, { force: true });
    return new SimilarChunks(path);
  }
}

/** Makes it, and clears what a killed process left half-sorted. */
async function prepareStateDir(stateDir: string): Promise<void> {
  await mkdir(stateDir, { recursive: true });
  for (const name of await readdir(stateDir)) {
    if (name.startsWith('sort-')) await rm(join(stateDir, name), { force: true });
  }
}

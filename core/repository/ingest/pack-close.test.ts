import { describe, expect, it } from 'vitest';
import type { IngestSession, Repository } from '../../contracts/repository.ts';
import { digestOf } from '../../domain/content-ref.ts';
import type { Entry, ManifestRef } from '../../domain/manifest.ts';
import { collect } from '../../testing/collect.ts';
import { MemoryBlobStore } from '../../testing/fakes/memory-blob-store.ts';
import { readPackIndex } from '../chunk-index/read-pack-index.ts';
import { eachWorld, eagerClock, fileEntry, silentLog, snapshotOf } from '../fixture.ts';
import type { PackedFrame } from '../packs/pack-format.ts';
import { PortableStore } from '../store/portable-store.ts';
import { PACK_CHUNKS } from './pack-queue.ts';

/** Frames close by themselves at half a pack. */
const FRAME_CHUNKS = PACK_CHUNKS / 2;
const CONTENT_BYTES = 24;

const world = eachWorld();

const contentOf = (at: number) => Buffer.from(`the ${at}th file`.padEnd(CONTENT_BYTES));
const pathOf = (at: number) => `file-${`${at}`.padStart(6, '0')}`;

async function packIndexes(): Promise<PackedFrame[][]> {
  const store = new PortableStore(new MemoryBlobStore(world.blobs), { clock: eagerClock, log: silentLog });
  const packs = [...world.blobs.blobs].filter(([name]) => name.startsWith('packs/'));
  return Promise.all(packs.map(([name, bytes]) => readPackIndex(store, name, bytes.length)));
}

/** One image of the files of these numbers, its contents stored by `store`. */
async function commitTiny(
  repository: Repository,
  id: string,
  numbers: readonly number[],
  store: (session: IngestSession) => Promise<void>,
): Promise<ManifestRef> {
  const session = await repository.ingest({ label: id });
  await store(session);
  const entries = numbers.map((at): Entry => {
    const chunk = { digest: digestOf(contentOf(at)), bytes: CONTENT_BYTES };
    return fileEntry(pathOf(at), { ...chunk, chunks: [chunk] });
  });
  const manifest = await session.writeManifest(entries);
  await session.flush();
  await repository.commitSnapshot(snapshotOf(id, manifest));
  await session.close();
  return manifest;
}

/** As an agent sends them: many at a time, and as they are. */
async function addFrames(session: IngestSession, frames: number): Promise<void> {
  for (let nth = 0; nth < frames; nth++) {
    const contents = range(FRAME_CHUNKS).map((at) => contentOf(nth * FRAME_CHUNKS + at));
    const lengths = contents.map(() => CONTENT_BYTES);
    await session.addFrame({ encoding: 'raw', stored: Buffer.concat(contents), lengths }, () => undefined);
  }
}

const chunksOf = (frames: readonly PackedFrame[]) =>
  frames.reduce((sum, { chunks }) => sum + chunks.length, 0);
const range = (count: number) => Array.from({ length: count }, (_, at) => at);

describe('a pack of tiny chunks', () => {
  it('is closed when it holds its number of them, and so are its frames', async () => {
    const repository = await world.open();
    const session = await repository.ingest({ label: 'single' });
    for (const at of range(PACK_CHUNKS + 10)) await session.addChunk(digestOf(contentOf(at)), contentOf(at));
    await session.flush();
    await session.close();
    const indexes = await packIndexes();
    expect(indexes.map(chunksOf).sort((a, b) => a - b)).toEqual([10, PACK_CHUNKS]);
    for (const { chunks } of indexes.flat()) expect(chunks.length).toBeLessThanOrEqual(FRAME_CHUNKS);
    expect(await repository.readChunk(digestOf(contentOf(PACK_CHUNKS)))).toEqual(contentOf(PACK_CHUNKS));
  });

  it('is closed behind frames that come as they are, too', async () => {
    const repository = await world.open();
    const session = await repository.ingest({ label: 'frames' });
    await addFrames(session, 4);
    await session.flush();
    await session.close();
    expect((await packIndexes()).map(chunksOf)).toEqual([PACK_CHUNKS, PACK_CHUNKS]);
  });

  it('does not grow when sparse ones are copied together', async () => {
    const repository = await world.open();
    const all = range(6 * FRAME_CHUNKS);
    await commitTiny(repository, 's1', all, (session) => addFrames(session, 6));
    const kept = all.filter((at) => at % 2 === 0 && at % 5 !== 0);
    const manifest = await commitTiny(repository, 's2', kept, async () => undefined);
    await repository.removeSnapshot('web-1', 's1');
    const report = await repository.collect();
    expect(report.copiedPacks).toBeGreaterThanOrEqual(3);
    const indexes = await packIndexes();
    expect(indexes.flat().reduce((sum, { chunks }) => sum + chunks.length, 0)).toBe(report.liveChunks);
    for (const frames of indexes) expect(chunksOf(frames)).toBeLessThan(PACK_CHUNKS + FRAME_CHUNKS);
    const entries = await collect(repository.readManifest(manifest));
    expect(entries.map(({ path }) => path)).toEqual(kept.map(pathOf));
    const last = kept.at(-1) as number;
    expect(await repository.readChunk(digestOf(contentOf(last)))).toEqual(contentOf(last));
  });
});

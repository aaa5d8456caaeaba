/** Groups of deltas that were optimised are stored in Brotli, which only the appliance reads. */

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Repository } from '../../contracts/repository.ts';
import { digestOf } from '../../domain/content-ref.ts';
import type { ManifestRef } from '../../domain/manifest.ts';
import { type Command, copies, encoded } from '../../testing/fakes/copies-codec.ts';
import { MemoryBlobStore } from '../../testing/fakes/memory-blob-store.ts';
import { readPackIndex } from '../chunk-index/read-pack-index.ts';
import {
  commitTree,
  contentsOf,
  digestsOf,
  eachWorld,
  eagerClock,
  fileEntry,
  prose,
  readTree,
  rows,
  silentLog,
  snapshotOf,
} from '../fixture.ts';
import { isOptimised, type PackedFrame } from '../packs/pack-format.ts';
import { PortableStore } from '../store/portable-store.ts';

const world = eachWorld();
const storeOf = () =>
  new PortableStore(new MemoryBlobStore(world.blobs), { clock: eagerClock, log: silentLog });
const TABLES = 6;
const BYTES = 200_000;

const tables = Array.from({ length: TABLES }, (_, at) => prose(BYTES, `table ${at}`));
/** What was written to a table: text that is in none of them. */
const inserted = (at: number) => rows(800, `rows ${at}`);
const changed = tables.map((table, at) =>
  Buffer.concat([table.subarray(0, 50_000), inserted(at), table.subarray(50_000)]),
);
const before = Object.fromEntries(tables.map((table, at) => [`table-${at}`, table]));
const after = Object.fromEntries(changed.map((table, at) => [`table-${at}`, table]));

/** Tables, then the same with rows more, as deltas with places that an agent made. */
async function twoStates(): Promise<{ repository: Repository; manifest: ManifestRef }> {
  const repository = await world.open({ codecs: [copies] });
  await commitTree(repository, 's1', before);
  const session = await repository.ingest({ label: 's2' });
  const entries = [];
  for (const [at, table] of changed.entries()) {
    const commands: Command[] = [[0, 50_000], inserted(at).toString('base64'), [50_000, BYTES - 50_000]];
    const bases = [{ digest: digestOf(tables[at] as Buffer), at: 0, bytes: BYTES }];
    const made = { codec: 'copies', formatVersion: 1, payload: encoded(commands), shared: false, bases };
    const digest = await session.addBytes(table, () => true, { made });
    const chunks = [{ digest, bytes: table.length }];
    entries.push(fileEntry(`table-${at}`, { digest, bytes: table.length, chunks }));
  }
  const manifest = await session.writeManifest(entries);
  await session.flush();
  await repository.commitSnapshot(snapshotOf('s2', manifest));
  await session.close();
  return { repository, manifest };
}

async function optimisedFrames(): Promise<PackedFrame[]> {
  const frames: PackedFrame[] = [];
  const store = storeOf();
  for (const [name, bytes] of world.blobs.blobs) {
    if (name.startsWith('packs/') && isOptimised(bytes.subarray(0, 16)))
      frames.push(...(await readPackIndex(store, name, bytes.length)));
  }
  return frames;
}

async function packsInBrotli(): Promise<string[]> {
  const found: string[] = [];
  for (const [name, bytes] of world.blobs.blobs) {
    if (!name.startsWith('packs/')) continue;
    const frames = await readPackIndex(storeOf(), name, bytes.length);
    if (frames.some(({ encoding }) => encoding === 'brotli')) found.push(name);
  }
  return found;
}

describe('groups of deltas', () => {
  it('are stored in Brotli by optimise, and read, verified and found again without their index', async () => {
    const { repository, manifest } = await twoStates();
    const packed = (await repository.stats()).storedBytes;
    await repository.optimise();
    await repository.collect();
    const frames = await optimisedFrames();
    const groups = frames.filter(({ encoding }) => encoding === 'brotli');
    expect(groups.flatMap(({ chunks }) => chunks.filter(({ delta }) => delta))).toHaveLength(TABLES);
    expect(
      frames
        .filter(({ encoding }) => encoding === 'zstd')
        .flatMap(({ chunks }) => chunks)
        .every(({ delta }) => !delta),
    ).toBe(true);
    expect((await repository.stats()).storedBytes).toBeLessThan(packed);
    expect(await readTree(repository, manifest)).toEqual(digestsOf(after));
    await repository.close();
    world.crash();
    const anew = await world.open({ codecs: [copies], stateDir: join(world.stateDir, 'anew') });
    expect(await readTree(anew, manifest)).toEqual(digestsOf(after));
    expect(await anew.verify({ readData: true })).toMatchObject({ sound: true });
  });

  it('do not go out as they are: whole chunks among them are read one by one', async () => {
    const { repository, manifest } = await twoStates();
    expect(await repository.frameOf(manifest.root)).toMatchObject({ encoding: 'zstd' });
    await repository.optimise();
    const group = (await optimisedFrames()).find(({ chunks }) =>
      chunks.some(({ digest }) => digest === manifest.root),
    );
    expect(group?.encoding).toBe('brotli');
    expect(await repository.frameOf(manifest.root)).toBeUndefined();
    expect(digestOf(await repository.readChunk(manifest.root))).toBe(manifest.root);
  });

  it('of which a part is needed are laid together anew by a collection', async () => {
    const { repository, manifest } = await twoStates();
    await repository.optimise();
    const near = await contentsOf(repository, manifest);
    const third = await commitTree(repository, 's3', { 'table-3': changed[3] as Buffer }, () =>
      [near.get('table-3') ?? []].flat(),
    );
    for (const id of ['s1', 's2']) await repository.removeSnapshot('web-1', id);
    await repository.collect();
    expect(await readTree(repository, third.manifest)).toEqual(
      digestsOf({ 'table-3': changed[3] as Buffer }),
    );
    expect(await repository.verify({ readData: true })).toMatchObject({ sound: true });
  });

  it('are saved as they are where the index of their pack is damaged', async () => {
    const { repository, manifest } = await twoStates();
    await repository.optimise();
    await repository.collect();
    const [name] = await packsInBrotli();
    const bytes = Uint8Array.from(world.blobs.blobs.get(name as string) as Uint8Array);
    bytes[bytes.length - 100] = (bytes[bytes.length - 100] as number) ^ 255;
    world.blobs.blobs.set(name as string, bytes);
    expect(await repository.verify({ readData: true })).toMatchObject({ sound: false });
    await repository.mend();
    await repository.collect();
    expect(world.blobs.blobs.has(name as string)).toBe(false);
    expect(await packsInBrotli()).toHaveLength(1);
    expect(await readTree(repository, manifest)).toEqual(digestsOf(after));
    expect(await repository.verify({ readData: true })).toMatchObject({ sound: true });
  });

  it('that are damaged are named, and healed by whoever stores their chunks again', async () => {
    const { repository, manifest } = await twoStates();
    await repository.optimise();
    await repository.collect();
    const frame = (await optimisedFrames()).find(({ encoding }) => encoding === 'brotli') as PackedFrame;
    for (const [name, bytes] of world.blobs.blobs) {
      const frames = name.startsWith('packs/') ? await readPackIndex(storeOf(), name, bytes.length) : [];
      if (!frames.some(({ encoding }) => encoding === 'brotli')) continue;
      const bent = Uint8Array.from(bytes);
      bent.fill(0xff, frame.offset + 10, frame.offset + frame.storedBytes - 10);
      world.blobs.blobs.set(name, bent);
    }
    await expect(readTree(repository, manifest)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    const healed = await commitTree(repository, 's3', after);
    expect(await readTree(repository, healed.manifest)).toEqual(digestsOf(after));
  });
});

import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DeltaCodec } from '../../contracts/delta-codec.ts';
import type { IngestSession, Repository } from '../../contracts/repository.ts';
import type { ContentRef, ManifestRef } from '../../domain/manifest.ts';
import { dictionaryCodec } from '../../testing/fakes/dictionary-codec.ts';
import { FaultyBlobStore } from '../../testing/fakes/faulty-blob-store.ts';
import { MemoryBlobStore } from '../../testing/fakes/memory-blob-store.ts';
import {
  commitTree,
  contentsOf,
  digestsOf,
  eachWorld,
  noise,
  prose,
  readTree,
  snapshotOf,
  storeTree,
} from '../fixture.ts';

const world = eachWorld();

/** Two tools of one library, each a chunk, in packs and so in frames of their own. */
const library = prose(160_000, 'library');
const tool = Buffer.concat([library, prose(40_000, 'tool')]);
const twin = Buffer.concat([prose(30_000, 'twin'), library]);
/** The twin, edited. */
const edited = Buffer.concat([noise(500, 'edit'), twin.subarray(500)]);

interface Stored {
  readonly repository: Repository;
  readonly store: FaultyBlobStore;
  readonly tool: ManifestRef;
  readonly twin: ManifestRef;
  readonly twinContent: ContentRef;
}

/** Stored by an appliance without codecs, so whole; opened by one that has these. */
async function stored(codecs: readonly DeltaCodec[] = [dictionaryCodec()]): Promise<Stored> {
  const plain = await world.open();
  const one = await commitTree(plain, 's1', { tool });
  const two = await commitTree(plain, 's2', { twin });
  await plain.close();
  world.crash();
  const { repository, store } = await reopen(codecs);
  const twinContent = (await contentsOf(repository, two.manifest)).get('twin') as ContentRef;
  return { repository, store, tool: one.manifest, twin: two.manifest, twinContent };
}

async function reopen(codecs: readonly DeltaCodec[] = [dictionaryCodec()]) {
  const store = new FaultyBlobStore(new MemoryBlobStore(world.blobs));
  return { repository: await world.open({ codecs, store }), store };
}

const deltasIn = async (repository: Repository) => (await repository.stats()).byForm.dictionary?.chunks ?? 0;

async function expectAll(repository: Repository, { tool: one, twin: two }: Stored): Promise<void> {
  expect(await readTree(repository, one)).toEqual(digestsOf({ tool }));
  expect(await readTree(repository, two)).toEqual(digestsOf({ twin }));
}

/** Stores the edited twin in a session of its own, which lies on the twin as a delta. */
async function addEdited(session: IngestSession, near: ContentRef): Promise<ManifestRef> {
  return storeTree(session, { edited }, () => [near]);
}

const commitEdited = async (repository: Repository, session: IngestSession, manifest: ManifestRef) => {
  await session.flush();
  await repository.commitSnapshot(snapshotOf('s3', manifest));
  await session.close();
};

/** The first time that a pack is written from now on, and it is the second of the run: that of the twin. */
function onTwinsPack(store: FaultyBlobStore, run: () => Promise<void>): void {
  let packs = 0;
  store.fault = async ({ operation, name }) => {
    if (operation !== 'put' || !name.startsWith('packs/') || ++packs !== 2) return;
    await run();
  };
}

describe('optimise, of what lies in other frames', () => {
  it('stores a delta instead, which comes back, also from packs alone', async () => {
    const all = await stored();
    const { bytesBefore, bytesAfter } = await all.repository.optimise();
    expect(bytesBefore - bytesAfter).toBeGreaterThan(library.length / 4);
    expect(await deltasIn(all.repository)).toBe(1);
    await expectAll(all.repository, all);
    expect((await all.repository.verify({ readData: true })).sound).toBe(true);
    await all.repository.collect();
    await all.repository.close();
    await rm(join(world.stateDir, 'chunks.db'));
    world.crash();
    const { repository } = await reopen();
    await expectAll(repository, all);
    expect(await deltasIn(repository)).toBe(1);
    expect((await repository.optimise()).packs).toBe(0);
  });

  it('knows what lies in packs that were done before', async () => {
    const plain = await world.open();
    const one = await commitTree(plain, 's1', { tool });
    await plain.optimise();
    const two = await commitTree(plain, 's2', { twin });
    await plain.close();
    world.crash();
    const { repository } = await reopen();
    expect((await repository.optimise()).packs).toBe(1);
    expect(await deltasIn(repository)).toBe(1);
    expect(await readTree(repository, one.manifest)).toEqual(digestsOf({ tool }));
    expect(await readTree(repository, two.manifest)).toEqual(digestsOf({ twin }));
  });

  it('goes on without a pack that was done before and cannot be read any more', async () => {
    const plain = await world.open();
    await commitTree(plain, 's1', { tool });
    await plain.optimise();
    await plain.collect();
    for (const [name, bytes] of world.blobs.blobs) if (name.startsWith('packs/')) bytes.fill(0, 16, 2000);
    const two = await commitTree(plain, 's2', { twin });
    await plain.close();
    world.crash();
    const { repository } = await reopen();
    expect((await repository.optimise()).packs).toBe(1);
    expect(await deltasIn(repository)).toBe(0);
    expect(await readTree(repository, two.manifest)).toEqual(digestsOf({ twin }));
  });

  it('leaves a chunk whole that a delta is made from', async () => {
    const all = await stored();
    const session = await all.repository.ingest({ label: 's3' });
    const manifest = await addEdited(session, all.twinContent);
    await commitEdited(all.repository, session, manifest);
    expect(await deltasIn(all.repository)).toBe(1);
    await all.repository.optimise();
    expect(await deltasIn(all.repository)).toBe(1);
    expect(await readTree(all.repository, manifest)).toEqual(digestsOf({ edited }));
  });

  it('leaves a chunk whole that an open session has made something from', async () => {
    const all = await stored();
    const session = await all.repository.ingest({ label: 's3' });
    const manifest = await addEdited(session, all.twinContent);
    await all.repository.optimise();
    expect(await deltasIn(all.repository)).toBe(0);
    await commitEdited(all.repository, session, manifest);
    expect(await deltasIn(all.repository)).toBe(1);
    expect(await readTree(all.repository, manifest)).toEqual(digestsOf({ edited }));
    await expectAll(all.repository, all);
  });

  it.each([
    ['still open', false],
    ['committed', true],
  ])('leaves a chunk where it is that a session took as a base meanwhile, %s', async (_, commits) => {
    const all = await stored();
    const session = await all.repository.ingest({ label: 's3' });
    let manifest: ManifestRef | undefined;
    onTwinsPack(all.store, async () => {
      manifest = await addEdited(session, all.twinContent);
      if (commits) await commitEdited(all.repository, session, manifest);
    });
    await all.repository.optimise();
    if (!commits) await commitEdited(all.repository, session, manifest as ManifestRef);
    expect(await deltasIn(all.repository)).toBe(1);
    await all.repository.collect();
    await all.repository.optimise();
    await expectAll(all.repository, all);
    expect(await deltasIn(all.repository)).toBe(1);
    expect(await readTree(all.repository, manifest as ManifestRef)).toEqual(digestsOf({ edited }));
  });

  it('keeps the base when the snapshot that it came with is removed', async () => {
    const all = await stored();
    await all.repository.optimise();
    await all.repository.removeSnapshot('web-1', 's1');
    expect((await all.repository.collect()).removedPacks).toBeGreaterThan(0);
    expect(await deltasIn(all.repository)).toBe(1);
    expect(await readTree(all.repository, all.twin)).toEqual(digestsOf({ twin }));
    expect((await all.repository.verify({ readData: true })).sound).toBe(true);
  });

  it('changes no form while a collection runs, which may have given up the base', async () => {
    const all = await stored();
    await all.repository.removeSnapshot('web-1', 's1');
    const session = await all.repository.ingest({ label: 'holds up the collection' });
    let collection: Promise<unknown> | undefined;
    onTwinsPack(all.store, async () => {
      const waits = Promise.withResolvers<void>();
      const onProgress = ({ text }: { text?: string }) => {
        if (text?.startsWith('waiting')) waits.resolve();
      };
      collection = all.repository.collect({ onProgress });
      await waits.promise;
    });
    await all.repository.optimise();
    expect(await deltasIn(all.repository)).toBe(0);
    await session.close();
    await collection;
    expect(await readTree(all.repository, all.twin)).toEqual(digestsOf({ twin }));
  });

  it('leaves a chunk whole whose base was collected meanwhile', async () => {
    const all = await stored();
    await all.repository.removeSnapshot('web-1', 's1');
    onTwinsPack(all.store, async () => void (await all.repository.collect()));
    await all.repository.optimise();
    expect(await deltasIn(all.repository)).toBe(0);
    expect(await readTree(all.repository, all.twin)).toEqual(digestsOf({ twin }));
  });

  it('cut off between the pack and the index, the chunk is whole, and the next run goes on', async () => {
    const all = await stored();
    await all.repository.close();
    world.crash();
    const database = join(world.stateDir, 'chunks.db');
    await copyFile(database, `${database}.before`);
    const { repository } = await reopen();
    await repository.optimise();
    await repository.close();
    world.crash();
    await copyFile(`${database}.before`, database);
    for (const suffix of ['-wal', '-shm']) await rm(`${database}${suffix}`, { force: true });
    const { repository: healed } = await reopen();
    expect(await deltasIn(healed)).toBe(0);
    await expectAll(healed, all);
    await healed.optimise();
    expect(await deltasIn(healed)).toBe(1);
    await healed.collect();
    await expectAll(healed, all);
  });

  it('leaves a chunk whole when its base turns out to be damaged', async () => {
    const all = await stored();
    const before = new Set(world.blobs.blobs.keys());
    let done = 0;
    const damageFirst = async () => {
      if (++done > 1) return;
      const made = [...world.blobs.blobs].filter(([name]) => !before.has(name));
      for (const [, bytes] of made) bytes.fill(0, 16, 2000);
    };
    await all.repository.optimise({ pause: damageFirst });
    expect(done).toBe(2);
    expect(await deltasIn(all.repository)).toBe(0);
    expect(await readTree(all.repository, all.twin)).toEqual(digestsOf({ twin }));
  });

  it('leaves a chunk whole when the codec makes something else of it', async () => {
    const { encode } = dictionaryCodec();
    const wrong = dictionaryCodec({ encode: (base, target) => encode(base, Buffer.from(target).fill(1, 9)) });
    const all = await stored([wrong]);
    await all.repository.optimise();
    expect(await deltasIn(all.repository)).toBe(0);
    await expectAll(all.repository, all);
  });
});

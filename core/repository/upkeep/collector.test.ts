import { describe, expect, it } from 'vitest';
import { BlobStoreFull } from '../../contracts/blob-store.ts';
import type { Repository } from '../../contracts/repository.ts';
import { dictionaryCodec } from '../../testing/fakes/dictionary-codec.ts';
import { type Fault, FaultyBlobStore } from '../../testing/fakes/faulty-blob-store.ts';
import { MemoryBlobStore } from '../../testing/fakes/memory-blob-store.ts';
import {
  commitTree,
  contentsOf,
  digestsOf,
  eachWorld,
  fileEntry,
  noise,
  prose,
  readTree,
  refOf,
  snapshotOf,
  storeTree,
  streamed,
} from '../fixture.ts';
import { FOOTER_BYTES, HEADER_BYTES } from '../packs/pack-format.ts';

const world = eachWorld();

const packs = () => [...world.blobs.blobs.keys()].filter((name) => name.startsWith('packs/'));
const faulty = (fault: Fault) => new FaultyBlobStore(new MemoryBlobStore(world.blobs), fault);
const tree = (seed: string) => ({
  'etc/passwd': prose(4_000, `passwd ${seed}`),
  'var/db': noise(1_500_000, `db ${seed}`),
});
const nextTurn = () => new Promise((resolve) => setTimeout(resolve, 5));

describe('a collection', () => {
  it('removes what only removed snapshots needed, and keeps the rest', async () => {
    const repository = await world.open();
    await commitTree(repository, 's1', tree('one'));
    const kept = await commitTree(repository, 's2', tree('two'));
    await repository.removeSnapshot('web-1', 's1');
    const report = await repository.collect();
    expect(report).toMatchObject({ dryRun: false, removedPacks: 1, copiedPacks: 0, packs: 2 });
    expect(report.freedBytes).toBeGreaterThan(1_500_000);
    expect(packs()).toHaveLength(1);
    expect(await readTree(repository, kept.manifest)).toEqual(digestsOf(tree('two')));
    expect((await repository.stats()).packs).toBe(1);
    expect(await repository.collect()).toMatchObject({ removedPacks: 0, freedBytes: 0 });
  });

  it('says with dryRun what it would do, and does nothing', async () => {
    const repository = await world.open();
    await commitTree(repository, 's1', tree('one'));
    await repository.removeSnapshot('web-1', 's1');
    const before = packs();
    const guess = await repository.collect({ dryRun: true });
    expect(guess).toMatchObject({ dryRun: true, removedPacks: 1 });
    expect(packs()).toEqual(before);
    expect((await repository.collect()).freedBytes).toBe(guess.freedBytes);
    expect(packs()).toEqual([]);
  });

  it('keeps the bases of live deltas, through two of them in a row', async () => {
    const codecs = [dictionaryCodec()];
    const repository = await world.open({ codecs });
    let bytes = prose(600_000, 'base');
    let before = await commitTree(repository, 's0', { db: bytes });
    for (const id of ['s1', 's2']) {
      const near = await contentsOf(repository, before.manifest);
      bytes = Buffer.concat([prose(900, id), bytes]);
      before = await commitTree(repository, id, { db: bytes }, (path) => [near.get(path) ?? []].flat());
    }
    expect((await repository.stats()).byForm.dictionary?.chunks).toBeGreaterThan(0);
    for (const id of ['s0', 's1']) await repository.removeSnapshot('web-1', id);
    await repository.collect();
    expect(await readTree(repository, before.manifest)).toEqual(digestsOf({ db: bytes }));
    await repository.close();
    const again = await world.open({ codecs });
    expect(await readTree(again, before.manifest)).toEqual(digestsOf({ db: bytes }));
  });

  it('copies what lives in a sparse pack, verbatim and in order, and removes the pack', async () => {
    const repository = await world.open();
    const small = { 'a/keep': noise(200_000, 'keep'), 'b/keep': prose(3_000, 'small') };
    await commitTree(repository, 's1', {
      ...small,
      'c/drop': noise(2_000_000, 'drop'),
      'd/drop': prose(2_000, 'd'),
    });
    const kept = await commitTree(repository, 's2', small);
    await repository.removeSnapshot('web-1', 's1');
    const report = await repository.collect();
    expect(report).toMatchObject({ copiedPacks: 1, removedPacks: 1 });
    expect(report.copiedBytes).toBeLessThan(210_000);
    const stored = [...world.blobs.blobs].filter(([name]) => name.startsWith('packs/'));
    expect(stored.reduce((sum, [, bytes]) => sum + bytes.length, 0)).toBeLessThan(215_000);
    // Random bytes are stored raw: the frame was taken as it is.
    expect(stored.some(([, bytes]) => Buffer.from(bytes).includes(small['a/keep']))).toBe(true);
    expect(await readTree(repository, kept.manifest)).toEqual(digestsOf(small));
    await repository.close();
    const again = await world.open();
    expect(await readTree(again, kept.manifest)).toEqual(digestsOf(small));
    expect(await again.collect()).toMatchObject({ removedPacks: 0, copiedPacks: 0 });
  });

  it('is not misled by a file that holds the very bytes of a manifest page', async () => {
    const repository = await world.open();
    const kept = await commitTree(repository, 's1', tree('one'));
    const pages: Buffer[] = [];
    for await (const page of repository.readManifestPages(kept.manifest)) pages.push(Buffer.from(page));
    await repository.removeSnapshot('web-1', 's1');
    const session = await repository.ingest({ label: 'page' });
    // Listed first, so that it is marked before the image that has it as a page.
    const manifest = await storeTree(session, { page: pages[0] as Buffer });
    await repository.commitSnapshot(snapshotOf('s0', manifest));
    await session.close();
    await repository.commitSnapshot(kept);
    await repository.collect();
    expect(await readTree(repository, kept.manifest)).toEqual(digestsOf(tree('one')));
  });

  it('refuses to judge when a manifest or a commit object cannot be read', async () => {
    const repository = await world.open();
    await commitTree(repository, 's1', tree('one'));
    await commitTree(repository, 's2', tree('two'));
    await repository.removeSnapshot('web-1', 's1');
    const before = packs();
    const name = 'snapshots/web-1/s2.json';
    const record = world.blobs.blobs.get(name) as Uint8Array;
    world.blobs.blobs.set(name, Buffer.from('{}'));
    await expect(repository.collect()).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    world.blobs.blobs.set(name, record);
    await repository.close();
    for (const pack of before) {
      const bytes = Buffer.from(world.blobs.blobs.get(pack) as Uint8Array);
      const index = Number(bytes.readBigUInt64LE(bytes.length - FOOTER_BYTES));
      world.blobs.blobs.set(pack, bytes.fill(0, HEADER_BYTES, index));
    }
    const refused = (await world.open()).collect();
    await expect(refused).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    await expect(refused).rejects.toThrow(/web-1@s2.*nothing was removed/);
    expect(packs()).toEqual(before);
  });

  it('leaves a sparse pack alone when something alive in it is damaged', async () => {
    const repository = await world.open();
    const small = { 'a/keep': noise(200_000, 'keep') };
    await commitTree(repository, 's1', { ...small, 'c/drop': noise(2_000_000, 'drop') });
    const [pack] = packs() as [string];
    await commitTree(repository, 's2', small);
    await repository.removeSnapshot('web-1', 's1');
    const bytes = Buffer.from(world.blobs.blobs.get(pack) as Uint8Array);
    const at = bytes.indexOf(small['a/keep']);
    bytes[at + 9] = (bytes[at + 9] as number) ^ 1;
    world.blobs.blobs.set(pack, bytes);
    expect(await repository.collect()).toMatchObject({ copiedPacks: 0, removedPacks: 0 });
    expect(world.blobs.blobs.has(pack)).toBe(true);
  });

  it('runs once at a time', async () => {
    const repository = await world.open();
    const first = repository.collect();
    await expect(repository.collect()).rejects.toMatchObject({ code: 'CONFLICT' });
    await first;
  });
});

describe('a session that was open when its chunks were condemned', () => {
  /** Collects; `during` runs while it waits for `session`. */
  async function whileWaiting(repository: Repository, during: () => Promise<void>) {
    let waits = false;
    const collection = repository.collect({
      onProgress: ({ text }) => {
        waits ||= text?.startsWith('waiting') === true;
      },
    });
    while (!waits) await nextTurn();
    await during();
    return collection;
  }

  it('may commit what it referred to: it comes back', async () => {
    const repository = await world.open();
    const before = await commitTree(repository, 's1', tree('one'));
    await repository.removeSnapshot('web-1', 's1');
    const session = await repository.ingest({ label: 's2' });
    const manifest = await storeTree(session, tree('one'));
    expect(manifest).toEqual(before.manifest);
    const report = await whileWaiting(repository, async () => {
      expect(packs()).toHaveLength(1);
      await repository.commitSnapshot(snapshotOf('s2', manifest));
      await session.close();
    });
    expect(report.removedPacks).toBe(0);
    expect(await readTree(repository, manifest)).toEqual(digestsOf(tree('one')));
  });

  it('keeps nothing when it ends without a commit', async () => {
    const repository = await world.open();
    await commitTree(repository, 's1', tree('one'));
    await repository.removeSnapshot('web-1', 's1');
    const session = await repository.ingest({ label: 's2' });
    await storeTree(session, tree('one'));
    const report = await whileWaiting(repository, () => session.close());
    expect(report.removedPacks).toBe(1);
    expect(packs()).toEqual([]);
  });

  it('does not hold up later ones, to whom condemned chunks are missing', async () => {
    const repository = await world.open();
    await commitTree(repository, 's1', tree('one'));
    await repository.removeSnapshot('web-1', 's1');
    const open = await repository.ingest({ label: 'open' });
    const { chunks } = await refOf(tree('one')['var/db']);
    const digests = chunks.map((chunk) => chunk.digest);
    const report = await whileWaiting(repository, async () => {
      expect(await repository.hasChunks(digests)).toEqual(digests.map(() => false));
      await commitTree(repository, 's2', tree('one'));
      await open.close();
    });
    expect(report.removedPacks).toBe(1);
    expect(packs()).toHaveLength(1);
    const [kept] = await repository.listSnapshots('web-1');
    expect(await readTree(repository, kept?.manifest as never)).toEqual(digestsOf(tree('one')));
    await repository.close();
    const again = await world.open();
    expect(await readTree(again, kept?.manifest as never)).toEqual(digestsOf(tree('one')));
  });

  it('may store deltas against what was condemned: their bases come back', async () => {
    const codecs = [dictionaryCodec()];
    const repository = await world.open({ codecs });
    const base = prose(600_000, 'base');
    const before = await commitTree(repository, 's1', { db: base });
    const near = await contentsOf(repository, before.manifest);
    await repository.removeSnapshot('web-1', 's1');
    const session = await repository.ingest({ label: 's2' });
    const changed = { db: Buffer.concat([prose(900, 'new'), base]) };
    const manifest = await storeTree(session, changed, (path) => [near.get(path) ?? []].flat());
    const report = await whileWaiting(repository, async () => {
      await session.flush();
      await repository.commitSnapshot(snapshotOf('s2', manifest));
      await session.close();
    });
    expect((await repository.stats()).byForm.dictionary?.chunks).toBe(1);
    expect(report.removedPacks).toBe(0);
    expect(await readTree(repository, manifest)).toEqual(digestsOf(changed));
  });

  it('is waited for until the collection is cancelled, which lifts every judgement', async () => {
    const repository = await world.open();
    const before = await commitTree(repository, 's1', tree('one'));
    await repository.removeSnapshot('web-1', 's1');
    const session = await repository.ingest({ label: 'slow' });
    const stop = new AbortController();
    const onProgress = ({ text }: { text?: string }) => {
      if (text?.startsWith('waiting')) stop.abort(new Error('cancelled'));
    };
    await expect(repository.collect({ signal: stop.signal, onProgress })).rejects.toThrow('cancelled');
    expect(await repository.hasChunks([before.manifest.root])).toEqual([true]);
    expect(packs()).toHaveLength(1);
    await session.close();
  });
});

it('a commit of a snapshot that was removed and collected is refused', async () => {
  const repository = await world.open();
  const snapshot = await commitTree(repository, 's1', tree('one'));
  await repository.removeSnapshot('web-1', 's1');
  await repository.collect();
  const again = repository.commitSnapshot({ ...snapshot, pinned: true });
  await expect(again).rejects.toMatchObject({ code: 'CONFLICT' });
  expect(await repository.listSnapshots('web-1')).toEqual([]);
});

it('a master keeps what it needs, and a snapshot committed while the marking runs', async () => {
  const repository = await world.open();
  const session = await repository.ingest({ label: 'master' });
  const manifest = await storeTree(session, tree('master'));
  const master = { name: 'web', version: 1, kind: 'tree', arch: 'x86_64', manifest } as const;
  await repository.commitMaster({ ...master, importedAt: '2026-11-22T12:44:00.000Z', source: 'test' });
  await session.close();
  const collection = repository.collect();
  const snapshot = await commitTree(repository, 's1', tree('one'));
  await collection;
  expect(await readTree(repository, manifest)).toEqual(digestsOf(tree('master')));
  expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf(tree('one')));
});

it('a snapshot committed behind the listing of images keeps what it found stored', async () => {
  const store = faulty(() => undefined);
  const repository = await world.open({ store });
  await commitTree(repository, 's1', tree('one'));
  await commitTree(repository, 'kept', { a: noise(50_000, 'kept') });
  await repository.removeSnapshot('web-1', 's1');
  const session = await repository.ingest({ label: 's2' });
  const manifest = await storeTree(session, tree('one'));
  let committed: Promise<void> | undefined;
  // The records are listed by now, and are being read one by one.
  store.fault = async ({ operation, name }) => {
    if (operation !== 'get' || name !== 'snapshots/web-1/kept.json' || committed !== undefined) return;
    committed = repository.commitSnapshot(snapshotOf('s2', manifest));
    await committed;
    await session.close();
  };
  expect(await repository.collect()).toMatchObject({ removedPacks: 0 });
  expect(committed).toBeDefined();
  expect(await readTree(repository, manifest)).toEqual(digestsOf(tree('one')));
});

describe('on a full store', () => {
  it('what is dead is removed all the same; sparse packs wait', async () => {
    const store = faulty(() => undefined);
    const repository = await world.open({ store });
    await commitTree(repository, 's1', tree('one'));
    const small = { 'a/keep': noise(200_000, 'keep') };
    await commitTree(repository, 's2', { ...small, 'c/drop': noise(2_000_000, 'drop') });
    const kept = await commitTree(repository, 's3', small);
    for (const id of ['s1', 's2']) await repository.removeSnapshot('web-1', id);
    store.fault = ({ operation }) => {
      if (operation === 'put') throw new BlobStoreFull('test');
    };
    expect(await repository.collect()).toMatchObject({ removedPacks: 1, copiedBytes: 0 });
    store.fault = () => undefined;
    expect(await repository.collect()).toMatchObject({ removedPacks: 1, copiedPacks: 1 });
    expect(await readTree(repository, kept.manifest)).toEqual(digestsOf(small));
  });
});

describe('killed at any write', () => {
  it('it leaves a repository that reads everything committed, and the next one finishes', async () => {
    const first = await world.open();
    await commitTree(first, 's1', tree('one'));
    const small = { 'a/keep': noise(200_000, 'keep'), 'b/keep': prose(90_000, 'b') };
    await commitTree(first, 's2', { ...small, 'c/drop': noise(2_000_000, 'drop') });
    await commitTree(first, 's3', tree('three'));
    const kept = await commitTree(first, 's4', small);
    for (const id of ['s1', 's2', 's3']) await first.removeSnapshot('web-1', id);
    await first.close();
    const sound = new Map(world.blobs.blobs);
    let completed = false;
    for (let fatal = 1; !completed; fatal++) {
      world.blobs.blobs.clear();
      for (const [name, bytes] of sound) world.blobs.blobs.set(name, bytes);
      let writes = 0;
      const die = () => {
        throw Object.assign(new Error('killed'), { code: 'EROFS' });
      };
      const dying = await world.open({
        store: faulty(({ operation }) => {
          if ((operation === 'put' || operation === 'remove') && ++writes >= fatal) die();
        }),
      });
      completed = await dying.collect().then(
        () => true,
        () => false,
      );
      world.crash();
      const repository = await world.open();
      expect(await readTree(repository, kept.manifest)).toEqual(digestsOf(small));
      await repository.collect();
      // What was copied, and the pack of the last manifest.
      expect(packs()).toHaveLength(2);
      expect(await readTree(repository, kept.manifest)).toEqual(digestsOf(small));
      await repository.close();
      expect(fatal).toBeLessThan(10);
    }
  });
});

it('a reader is not disturbed when what it reads is moved', async () => {
  const repository = await world.open();
  const files = { keep: noise(900_000, 'keep') };
  await commitTree(repository, 's1', { ...files, drop: noise(3_000_000, 'drop') });
  const kept = await commitTree(repository, 's2', files);
  await repository.removeSnapshot('web-1', 's1');
  const content = await refOf(files.keep);
  const collection = repository.collect();
  for (let turn = 0; turn < 20; turn++) {
    for (const { digest } of content.chunks)
      expect((await repository.readChunk(digest)).length).toBeGreaterThan(0);
  }
  expect(await collection).toMatchObject({ copiedPacks: 1 });
  expect(await readTree(repository, kept.manifest)).toEqual(digestsOf(files));
  const session = await repository.ingest({ label: 'later' });
  await session.addStream(streamed(files.keep));
  expect(session.storedBytes).toBe(0);
  expect(fileEntry('keep', content).content).toEqual(content);
  await session.close();
});

import { describe, expect, it } from 'vitest';
import type { Repository } from '../../contracts/repository.ts';
import type { Snapshot } from '../../domain/snapshot.ts';
import { dictionaryCodec } from '../../testing/fakes/dictionary-codec.ts';
import { FaultyBlobStore } from '../../testing/fakes/faulty-blob-store.ts';
import { MemoryBlobStore } from '../../testing/fakes/memory-blob-store.ts';
import { OnceWrongStore } from '../../testing/fakes/once-wrong-store.ts';
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
import { HEADER_BYTES } from '../packs/pack-format.ts';

const world = eachWorld();

const packs = () => [...world.blobs.blobs.keys()].filter((name) => name.startsWith('packs/'));
const files = {
  'etc/passwd': prose(4_000, 'passwd'),
  'usr/bin/a': noise(300_000, 'a'),
  'var/db': noise(1_500_000, 'db'),
};

/** Flips a bit where these bytes lie in some pack. */
function spoil(bytes: Uint8Array): string {
  for (const name of packs()) {
    const pack = Buffer.from(world.blobs.blobs.get(name) as Uint8Array);
    const at = pack.indexOf(bytes);
    if (at < 0) continue;
    pack[at + 7] = (pack[at + 7] as number) ^ 0x10;
    world.blobs.blobs.set(name, pack);
    return name;
  }
  throw new Error('these bytes are stored nowhere as they are');
}

const manyPacks = async (repository: Repository, count: number): Promise<Snapshot[]> => {
  const all: Snapshot[] = [];
  for (let at = 0; at < count; at++)
    all.push(await commitTree(repository, `s${at}`, { f: noise(100_000, at) }));
  return all;
};

describe('a verification', () => {
  it('of a sound repository finds nothing, and says what it looked at', async () => {
    const repository = await world.open();
    await commitTree(repository, 's1', files);
    expect(await repository.verify()).toMatchObject({ sound: true, images: 1, packs: 1, readPacks: 0 });
    const read = await repository.verify({ readData: true });
    expect(read).toMatchObject({ sound: true, readPacks: 1, placesTotal: 0, damagedPacks: [] });
    expect(read.readBytes).toBeGreaterThan(1_800_000);
    expect(read.readChunks).toBeGreaterThan(4);
  });

  it('that reads names one flipped bit down to server, snapshot and path, in every image it touches', async () => {
    const repository = await world.open();
    await commitTree(repository, 's1', files);
    await commitTree(repository, 's2', { ...files, 'usr/bin/a.moved': files['usr/bin/a'] });
    const pack = spoil(files['usr/bin/a'].subarray(0, 64));
    expect(await repository.verify()).toMatchObject({ sound: true });
    const report = await repository.verify({ readData: true });
    expect(report).toMatchObject({ sound: false, damagedChunks: 1, placesTotal: 3 });
    expect(report.places).toEqual([
      { image: 'web-1@s1', server: 'web-1', snapshot: 's1', path: 'usr/bin/a', what: 'file' },
      { image: 'web-1@s2', server: 'web-1', snapshot: 's2', path: 'usr/bin/a', what: 'file' },
      { image: 'web-1@s2', server: 'web-1', snapshot: 's2', path: 'usr/bin/a.moved', what: 'file' },
    ]);
    expect(report.damagedPacks).toEqual([{ pack, why: expect.stringMatching(/1 of its chunks/) }]);
    // Known from then on, without reading again; and missing to whoever has the bytes.
    expect(await repository.verify()).toMatchObject({ sound: false, placesTotal: 3 });
    await commitTree(repository, 's3', files);
    expect(await repository.verify({ readData: true })).toMatchObject({ sound: true });
    const snapshot = (await repository.getSnapshot('web-1', 's1')) as Snapshot;
    expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf(files));
  });

  it('names what hangs on a damaged base as well, and knows it sound once the base is stored anew', async () => {
    const codecs = [dictionaryCodec()];
    const repository = await world.open({ codecs });
    const base = noise(300_000, 'base');
    const before = await commitTree(repository, 's1', { db: base });
    const near = await contentsOf(repository, before.manifest);
    const changed = Buffer.concat([prose(900, 'new'), base]);
    const after = await commitTree(repository, 's2', { db: changed }, (path) =>
      [near.get(path) ?? []].flat(),
    );
    expect((await repository.stats()).byForm.dictionary?.chunks).toBe(1);
    spoil(base.subarray(0, 64));
    const report = await repository.verify({ readData: true });
    expect(report.places.map((place) => place.image)).toEqual(['web-1@s1', 'web-1@s2']);
    const session = await repository.ingest({ label: 'heal' });
    await storeTree(session, { db: base });
    await session.flush();
    await session.close();
    expect(await repository.verify()).toMatchObject({ sound: true });
    expect(await readTree(repository, after.manifest)).toEqual(digestsOf({ db: changed }));
  });

  it('names packs that are gone or cut off, and what they held', async () => {
    const repository = await world.open();
    await manyPacks(repository, 3);
    const [gone, cut] = packs() as [string, string];
    world.blobs.blobs.delete(gone);
    world.blobs.blobs.set(cut, (world.blobs.blobs.get(cut) as Uint8Array).slice(0, 500));
    const report = await repository.verify();
    expect(report.sound).toBe(false);
    expect(new Set(report.damagedPacks.map(({ pack }) => pack))).toEqual(new Set([gone, cut]));
    expect(report.damagedImages).toHaveLength(2);
    expect(report.places.every(({ what }) => what === 'list')).toBe(true);
  });

  it('names a pack whose own index is damaged though the data in it can be read', async () => {
    const repository = await world.open();
    await commitTree(repository, 's1', files);
    const [name] = packs() as [string];
    const bytes = Buffer.from(world.blobs.blobs.get(name) as Uint8Array);
    bytes[bytes.length - 70] = (bytes[bytes.length - 70] as number) ^ 1;
    world.blobs.blobs.set(name, bytes);
    const report = await repository.verify({ readData: true });
    expect(report).toMatchObject({ sound: false, placesTotal: 0 });
    expect(report.damagedPacks).toEqual([{ pack: name, why: expect.stringContaining('index is damaged') }]);
    expect(report.readChunks).toBeGreaterThan(3);
  });

  it('names commit objects that cannot be read, and goes on', async () => {
    const repository = await world.open();
    await commitTree(repository, 's1', files);
    await commitTree(repository, 's2', files);
    world.blobs.blobs.set('snapshots/web-1/s1.json', Buffer.from('{'));
    const report = await repository.verify();
    expect(report).toMatchObject({ sound: false, images: 1, placesTotal: 0 });
    expect(report.damagedRecords).toMatchObject([{ name: 'snapshots/web-1/s1.json' }]);
  });

  it('takes an unreadable sector for damage, and a storage that is gone for what it is', async () => {
    const store = new FaultyBlobStore(new MemoryBlobStore(world.blobs));
    const repository = await world.open({ store });
    await commitTree(repository, 's1', files);
    let reads = 0;
    const fail = () => {
      throw Object.assign(new Error('I/O error'), { code: 'EIO' });
    };
    // Two reads are of the pack's index; the third is of a frame, tried four times.
    store.fault = ({ operation, name }) => {
      if (operation === 'get' && name.startsWith('packs/') && ++reads > 2 && reads <= 6) fail();
    };
    const report = await repository.verify({ readData: true });
    expect(report.damagedPacks).toMatchObject([{ why: expect.stringContaining('I/O error') }]);
    // It was read once more at the end, by then without fault.
    expect(report.placesTotal).toBe(0);
    store.fault = ({ operation }) => {
      if (operation === 'get' || operation === 'list') fail();
    };
    await expect(repository.verify({ readData: true })).rejects.toMatchObject({ code: 'PLUGIN_FAILED' });
  });
});

describe('what the disk reads wrong once', () => {
  /** A verification of what it reads wrong so often where this pack holds these bytes, or begins. */
  async function verifyOnce(name: string, bytes: Uint8Array | undefined, times: number) {
    const store = new OnceWrongStore(world.blobs);
    const repository = await world.open({ store });
    const pack = Buffer.from(world.blobs.blobs.get(name) as Uint8Array);
    const at = bytes === undefined ? HEADER_BYTES : pack.indexOf(bytes);
    const wrong = (read: Uint8Array) => read.map((byte) => byte ^ 1);
    store.wrong = { name, at, as: wrong, times };
    const report = await repository.verify({ readData: true });
    expect(store.left).toBe(0);
    return { report, known: await repository.verify() };
  }

  it.each([
    ['bytes as they are', files['usr/bin/a'], files['usr/bin/a'].subarray(0, 64)],
    ['a compressed frame', prose(300_000, 'compressed'), undefined],
  ])('is not damage: %s', async (_, content, bytes) => {
    const repository = await world.open();
    await commitTree(repository, 's1', { f: content });
    await repository.close();
    const { report, known } = await verifyOnce(packs()[0] as string, bytes, 1);
    expect(report).toMatchObject({ sound: true, damagedPacks: [] });
    expect(known).toMatchObject({ sound: true });
  });

  it('is damage where it is read wrong again, until it is looked at once more', async () => {
    const repository = await world.open();
    await commitTree(repository, 's1', { f: files['usr/bin/a'] });
    await repository.close();
    const name = packs()[0] as string;
    const { report, known } = await verifyOnce(name, files['usr/bin/a'].subarray(0, 64), 2);
    expect(report.damagedPacks).toEqual([{ pack: name, why: expect.stringMatching(/chunks are damaged/) }]);
    expect(known).toMatchObject({ sound: true });
  });
});

describe('a sample', () => {
  it('reads its share, and successive ones get around to everything', async () => {
    const repository = await world.open();
    await manyPacks(repository, 10);
    spoil(noise(100_000, 7).subarray(0, 64));
    let found = 0;
    for (let run = 0; run < 5; run++) {
      const report = await repository.verify({ readData: true, samplePercent: 20 });
      expect(report.readPacks).toBe(2);
      if (!report.sound) found += 1;
    }
    expect(found).toBeGreaterThan(0);
    const report = await repository.verify();
    expect(report.places).toMatchObject([{ image: 'web-1@s7', path: 'f' }]);
  });

  it('of any share reads one pack at least', async () => {
    const repository = await world.open();
    await manyPacks(repository, 3);
    expect((await repository.verify({ readData: true, samplePercent: 0.01 })).readPacks).toBe(1);
  });
});

it('long lists are cut, and counted', async () => {
  const repository = await world.open();
  const shared = noise(100_000, 'shared');
  const tree = Object.fromEntries(Array.from({ length: 1200 }, (_, at) => [`f${at}`, shared]));
  const session = await repository.ingest({ label: 's1' });
  await repository.commitSnapshot(snapshotOf('s1', await storeTree(session, tree)));
  await session.close();
  spoil(shared.subarray(0, 64));
  const report = await repository.verify({ readData: true });
  expect(report.placesTotal).toBe(1200);
  expect(report.places).toHaveLength(1000);
});

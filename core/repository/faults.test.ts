import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BlobStoreFull } from '../contracts/blob-store.ts';
import type { Repository } from '../contracts/repository.ts';
import { digestOf } from '../domain/content-ref.ts';
import type { Snapshot } from '../domain/snapshot.ts';
import { dictionaryCodec } from '../testing/fakes/dictionary-codec.ts';
import { type Fault, FaultyBlobStore } from '../testing/fakes/faulty-blob-store.ts';
import { MemoryBlobStore } from '../testing/fakes/memory-blob-store.ts';
import {
  commitTree,
  contentsOf,
  digestsOf,
  eachWorld,
  makeWorld,
  noise,
  prose,
  readTree,
  snapshotOf,
  storeTree,
} from './fixture.ts';

const world = eachWorld();

const files = {
  'etc/passwd': prose(4_000, 'passwd'),
  'etc/motd': prose(300, 'motd'),
  'usr/bin/a': prose(900_000, 'a'),
  'var/db': noise(2_500_000, 'db'),
};
const packs = () => [...world.blobs.blobs.keys()].filter((name) => name.startsWith('packs/'));
const faulty = (fault: Fault) => new FaultyBlobStore(new MemoryBlobStore(world.blobs), fault);

async function stored(): Promise<Snapshot> {
  const repository = await world.open();
  const snapshot = await commitTree(repository, 's1', files);
  await repository.close();
  return snapshot;
}

/** A whole tree comes back, or what is thrown says damage and names the pack. */
async function readOrNamedDamage(repository: Repository, snapshot: Snapshot, pack: string): Promise<boolean> {
  try {
    expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf(files));
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    expect((error as Error).message).toContain(pack);
    expect((error as Error).message).toMatch(/[0-9a-f]{64}/);
    return false;
  }
}

/** Reading marks what is damaged, storing again replaces it; one frame may hold several damaged chunks. */
async function heal(repository: Repository, snapshot: Snapshot): Promise<void> {
  for (let turn = 0; turn < Object.keys(files).length + 2; turn++) {
    await commitTree(repository, 's2', files);
    const sound = await readTree(repository, snapshot.manifest).then(
      () => true,
      () => false,
    );
    if (sound) return;
  }
}

describe('damage', () => {
  it('of one bit anywhere in a pack is found, named, and healed by storing again', async () => {
    const snapshot = await stored();
    const [pack] = packs() as [string];
    const sound = Buffer.from(world.blobs.blobs.get(pack) as Uint8Array);
    let found = 0;
    for (let turn = 0; turn < 40; turn++) {
      const at = Math.floor((sound.length / 40) * turn) + turn;
      const bytes = Buffer.from(sound);
      bytes[at] = (bytes[at] as number) ^ (1 << (turn % 8));
      world.blobs.blobs.set(pack, bytes);
      const repository = await world.open();
      if (!(await readOrNamedDamage(repository, snapshot, pack))) {
        found += 1;
        await heal(repository, snapshot);
        expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf(files));
      }
      await repository.close();
      for (const name of packs()) if (name !== pack) world.blobs.blobs.delete(name);
      await rm(join(world.stateDir, 'chunks.db'), { force: true });
      world.blobs.blobs.set(pack, sound);
    }
    expect(found).toBeGreaterThan(35);
  });

  it('by truncation at any place is found and named', async () => {
    const snapshot = await stored();
    const [pack] = packs() as [string];
    const sound = world.blobs.blobs.get(pack) as Uint8Array;
    for (const length of [0, 8, 55, 56, 1000, sound.length - 57, sound.length - 56, sound.length - 1]) {
      world.blobs.blobs.set(pack, sound.slice(0, length));
      const repository = await world.open();
      expect(await readOrNamedDamage(repository, snapshot, pack)).toBe(false);
      await repository.close();
    }
    world.blobs.blobs.set(pack, sound);
    const repository = await world.open();
    expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf(files));
  });

  it('by a pack that vanished while open is named', async () => {
    const snapshot = await stored();
    const repository = await world.open();
    const [pack] = packs() as [string];
    world.blobs.blobs.delete(pack);
    expect(await readOrNamedDamage(repository, snapshot, pack)).toBe(false);
  });

  it('of a lost pack leaves its chunks missing, so that the next snapshot stores them again', async () => {
    const snapshot = await stored();
    for (const name of packs()) world.blobs.blobs.delete(name);
    const repository = await world.open();
    await expect(readTree(repository, snapshot.manifest)).rejects.toMatchObject({
      code: 'REPOSITORY_DAMAGED',
    });
    await commitTree(repository, 's2', files);
    expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf(files));
  });

  it('of a record is found by its seal; the others stay listed', async () => {
    await stored();
    const repository = await world.open();
    const other = await commitTree(repository, 's2', { a: Buffer.from('x') });
    const name = 'snapshots/web-1/s1.json';
    const text = Buffer.from(world.blobs.blobs.get(name) as Uint8Array).toString();
    world.blobs.blobs.set(name, Buffer.from(text.replace('12:45:00', '12:55:00')));
    const refused = repository.getSnapshot('web-1', 's1');
    await expect(refused).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    await expect(refused).rejects.toThrow(name);
    expect(await repository.listSnapshots('web-1')).toEqual([other]);
  });
});

describe('a damaged parent', () => {
  it.each(['record', 'pack'])(
    '(its %s) does not keep the next snapshot from being committed',
    async (what) => {
      await stored();
      const name = what === 'record' ? 'snapshots/web-1/s1.json' : (packs()[0] as string);
      const bytes = Buffer.from(world.blobs.blobs.get(name) as Uint8Array);
      // Behind the header, short of the index: frames do not decompress, the record does not parse.
      bytes.fill(0x20, 20, what === 'record' ? bytes.length : bytes.length - 2000);
      world.blobs.blobs.set(name, bytes);
      const repository = await world.open();
      const other = { 'etc/new': prose(50_000, 'new') };
      const session = await repository.ingest({ label: 's2' });
      const manifest = await storeTree(session, other);
      await repository.commitSnapshot(snapshotOf('s2', manifest, { parent: 's1' }));
      expect(await readTree(repository, manifest)).toEqual(digestsOf(other));
    },
  );
});

describe('the chunk index', () => {
  const index = () => join(world.stateDir, 'chunks.db');

  it.each([
    ['deleted', () => rm(index())],
    ['no database', () => writeFile(index(), noise(50_000, 'garbage'))],
    ['cut off', () => writeFile(index(), Buffer.alloc(3000))],
  ])('is made again from the packs when it is %s', async (_, spoil) => {
    const snapshot = await stored();
    await spoil();
    const repository = await world.open();
    expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf(files));
    const before = await repository.stats();
    await commitTree(repository, 's2', files);
    expect((await repository.stats()).storedBytes).toBe(before.storedBytes);
  });

  it('takes up packs it does not know', async () => {
    await (await world.open()).close();
    const other = await makeWorld();
    for (const [name, bytes] of world.blobs.blobs) other.blobs.blobs.set(name, bytes);
    const elsewhere = await other.open();
    const snapshot = await commitTree(elsewhere, 's1', files);
    await elsewhere.close();
    for (const [name, bytes] of other.blobs.blobs) world.blobs.blobs.set(name, bytes);
    await other.cleanUp();
    const repository = await world.open();
    expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf(files));
  });

  it('of another repository is not used', async () => {
    await stored();
    world.blobs.blobs.clear();
    const repository = await world.open();
    expect((await repository.stats()).chunks).toBe(0);
  });

  it('keeps deltas readable when it is made again', async () => {
    const codecs = [dictionaryCodec()];
    const first = await world.open({ codecs });
    const before = await commitTree(first, 's1', files);
    const near = await contentsOf(first, before.manifest);
    const changed = { ...files, 'usr/bin/a': Buffer.concat([prose(900, 'new'), files['usr/bin/a']]) };
    const after = await commitTree(first, 's2', changed, (path) => [near.get(path)].flatMap((c) => c ?? []));
    expect((await first.stats()).byForm.dictionary?.chunks).toBe(1);
    await first.close();
    await rm(index());
    const repository = await world.open({ codecs });
    expect((await repository.stats()).byForm.dictionary?.chunks).toBe(1);
    expect(await readTree(repository, after.manifest)).toEqual(digestsOf(changed));
  });
});

describe('a crash', () => {
  it('at any write leaves garbage and never a dangling reference', async () => {
    const first = await stored();
    const soundBlobs = new Map(world.blobs.blobs);
    const larger = { ...files, 'var/db': noise(40_000_000, 'larger') };
    let completed = false;
    for (let fatal = 1; !completed; fatal++) {
      world.blobs.blobs.clear();
      for (const [name, bytes] of soundBlobs) world.blobs.blobs.set(name, bytes);
      let puts = 0;
      const dying = await world.open({
        store: faulty(({ operation }) => {
          if (operation === 'put' && ++puts >= fatal)
            throw Object.assign(new Error('killed'), { code: 'EROFS' });
        }),
      });
      completed = await commitTree(dying, 's2', larger).then(
        () => true,
        () => false,
      );
      world.crash();
      const repository = await world.open();
      const listed = await repository.listSnapshots('web-1');
      expect(listed.map((one) => one.id)).toEqual(completed ? ['s1', 's2'] : ['s1']);
      expect(await readTree(repository, first.manifest)).toEqual(digestsOf(files));
      for (const one of listed) expect(Object.keys(await readTree(repository, one.manifest))).toHaveLength(4);
      await repository.close();
      expect(fatal).toBeLessThan(10);
    }
  });

  it('while sorting entries leaves no file behind', async () => {
    await writeFile(join(world.stateDir, 'sort-0123.db'), 'half sorted');
    await world.open();
    expect((await readdir(world.stateDir)).filter((name) => name.startsWith('sort-'))).toEqual([]);
  });
});

describe('a full store', () => {
  it('is REPOSITORY_FULL with a remedy; the session is over, what was there stays', async () => {
    const first = await stored();
    const full = () => {
      throw new BlobStoreFull('test');
    };
    const store = faulty(({ operation }) => void (operation === 'put' && full()));
    const repository = await world.open({ store });
    const session = await repository.ingest({ label: 'full' });
    const ingest = async () => {
      for (let at = 0; at < 40; at++) await session.addStream([noise(1_000_000, `${at}`)] as never);
    };
    await expect(ingest()).rejects.toMatchObject({
      code: 'REPOSITORY_FULL',
      remedy: expect.stringMatching(/Make room on the disk.*larger disk/),
    });
    await expect(session.flush()).rejects.toMatchObject({ code: 'REPOSITORY_FULL' });
    await expect(session.missing([])).rejects.toMatchObject({ code: 'REPOSITORY_FULL' });
    await session.close();
    expect(await readTree(repository, first.manifest)).toEqual(digestsOf(files));
    await repository.removeSnapshot('web-1', 's1');
  });

  /** A store with room for two packs of what is sent now. */
  async function overfill(meanwhile?: (repository: Repository) => Promise<unknown>) {
    await stored();
    let room = 2;
    const store = faulty(({ operation, name }) => {
      if (operation === 'put' && name.startsWith('packs/') && room-- <= 0) throw new BlobStoreFull('test');
    });
    const repository = await world.open({ store });
    const before = packs();
    const session = await repository.ingest({ label: 'full' });
    const ingest = async () => {
      for (let at = 0; at < 60; at++) {
        await session.addStream([noise(1_000_000, `${at}`)] as never);
        if (at === 10) await meanwhile?.(repository);
      }
    };
    await expect(ingest()).rejects.toMatchObject({ code: 'REPOSITORY_FULL' });
    await session.close();
    return { repository, before };
  }

  it('gets back what a session stored that nobody else can count on', async () => {
    const { repository, before } = await overfill();
    expect(packs()).toEqual(before);
    expect(await repository.hasChunks([digestOf(noise(1_000_000, '0'))])).toEqual([false]);
    await repository.close();
    const again = await world.open();
    expect((await again.verify({ readData: true })).sound).toBe(true);
  });

  it.each([
    ['another session was told of', (repository: Repository) => repository.ingest({ label: 'other' })],
    ['an image was committed beside', (repository: Repository) => commitTree(repository, 's2', files)],
  ])('keeps for the collector what %s', async (_, meanwhile) => {
    const { before } = await overfill(meanwhile);
    expect(packs().length).toBe(before.length + 2);
  });
});

describe('a flaky store', () => {
  it('is asked again, a few times', async () => {
    const snapshot = await stored();
    let failures = 0;
    const store = faulty(({ nth }) => {
      if (nth % 3 !== 0) {
        failures += 1;
        throw Object.assign(new Error('connection reset'), { code: 'ECONNRESET' });
      }
    });
    // Listings are not begun again; open without faults, then let them loose.
    const { fault } = store;
    store.fault = () => undefined;
    const repository = await world.open({ store });
    store.fault = fault;
    expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf(files));
    await commitTree(repository, 's2', { a: noise(100_000, 'more') });
    expect(failures).toBeGreaterThan(3);
  });

  it('that stays broken is a coded error that names the blob, and no chunk counts as damaged', async () => {
    const snapshot = await stored();
    const store = faulty(() => undefined);
    const repository = await world.open({ store });
    store.fault = ({ operation }) => {
      if (operation === 'get') throw Object.assign(new Error('I/O error'), { code: 'EIO' });
    };
    const read = readTree(repository, snapshot.manifest);
    await expect(read).rejects.toMatchObject({ code: 'PLUGIN_FAILED' });
    await expect(read).rejects.toThrow('packs/');
    store.fault = () => undefined;
    expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf(files));
    expect(await repository.hasChunks([snapshot.manifest.root])).toEqual([true]);
  });
});

import { describe, expect, it } from 'vitest';
import type { Repository } from '../../contracts/repository.ts';
import { dictionaryCodec } from '../../testing/fakes/dictionary-codec.ts';
import { contentsOf, eachWorld, noise, prose, snapshotOf, storeTree } from '../fixture.ts';

const world = eachWorld();

async function commit(repository: Repository, server: string, id: string, files: Record<string, Buffer>) {
  const session = await repository.ingest({ label: id });
  const manifest = await storeTree(session, files);
  await repository.commitSnapshot(snapshotOf(id, manifest, { server }));
  await session.close();
  return manifest;
}

const shared = noise(600_000, 'shared');
const nearly = (bytes: number) => ({ asymmetricMatch: (value: number) => Math.abs(value - bytes) < 4_000 });

describe('usage', () => {
  it('of an empty repository is nothing', async () => {
    const repository = await world.open();
    expect(await repository.usage()).toMatchObject({
      snapshots: 0,
      logicalBytes: 0,
      storedBytes: 0,
      byServer: [],
    });
  });

  it('counts what is shared once, and says what each server has for itself', async () => {
    const repository = await world.open();
    await commit(repository, 'web-1', 's1', { shared, own: noise(200_000, 'own 1') });
    await commit(repository, 'web-1', 's2', {
      shared,
      own: noise(200_000, 'own 1'),
      more: noise(100_000, 'more'),
    });
    await commit(repository, 'web-2', 's3', { shared, own: noise(50_000, 'own 2') });
    const usage = await repository.usage();
    expect(usage).toMatchObject({
      snapshots: 3,
      masters: 0,
      logicalBytes: 3 * 600_000 + 2 * 200_000 + 100_000 + 50_000,
      uniqueBytes: nearly(950_000),
      storedBytes: nearly(950_000),
      deadBytes: 0,
      reclaimableBytes: 0,
      unreadableImages: 0,
    });
    expect(usage.byForm.whole?.storedBytes).toBe(usage.storedBytes);
    expect(usage.byServer).toEqual([
      {
        name: 'web-1',
        images: 2,
        logicalBytes: 1_700_000,
        uniqueBytes: nearly(300_000),
        ownBytes: nearly(300_000),
        shareBytes: nearly(600_000),
      },
      {
        name: 'web-2',
        images: 1,
        logicalBytes: 650_000,
        uniqueBytes: nearly(50_000),
        ownBytes: nearly(50_000),
        shareBytes: nearly(350_000),
      },
    ]);
    const shares = usage.byServer.reduce((sum, server) => sum + server.shareBytes, 0);
    expect(Math.abs(shares - usage.storedBytes)).toBeLessThan(5);
  });

  it('tells masters from servers, and deltas from wholes, with what they are made from', async () => {
    const codecs = [dictionaryCodec()];
    const repository = await world.open({ codecs });
    const base = prose(600_000, 'base');
    const session = await repository.ingest({ label: 'master' });
    const manifest = await storeTree(session, { db: base });
    const about = {
      kind: 'tree',
      arch: 'x86_64',
      importedAt: '2026-11-22T12:44:00.000Z',
      source: '',
    } as const;
    await repository.commitMaster({ name: 'web', version: 1, manifest, ...about });
    const near = (await contentsOf(repository, manifest)).get('db');
    const changed = { db: Buffer.concat([prose(900, 'new'), base]) };
    const snapshot = await storeTree(session, changed, () => (near === undefined ? [] : [near]));
    await repository.commitSnapshot(snapshotOf('s1', snapshot));
    await session.close();
    const usage = await repository.usage();
    expect(usage).toMatchObject({ snapshots: 1, masters: 1 });
    expect(usage.byMaster).toMatchObject([{ name: 'web', images: 1, logicalBytes: 600_000 }]);
    expect(usage.byForm.dictionary).toMatchObject({ chunks: 1 });
    // The chunk that is a delta is the server's alone; what it is made from belongs to both.
    const [server] = usage.byServer;
    expect(server?.ownBytes).toBeLessThan(10_000);
    expect(server?.shareBytes).toBeGreaterThan(100_000);
  });

  it('says what a collection would free', async () => {
    const repository = await world.open();
    await commit(repository, 'web-1', 's1', { a: noise(900_000, 'a') });
    await commit(repository, 'web-1', 's2', { b: noise(100_000, 'b'), c: noise(900_000, 'c') });
    await commit(repository, 'web-1', 's3', { b: noise(100_000, 'b') });
    for (const id of ['s1', 's2']) await repository.removeSnapshot('web-1', id);
    const usage = await repository.usage();
    const { freedBytes, copiedBytes } = await repository.collect({ dryRun: true });
    expect(usage.deadBytes).toBeGreaterThan(900_000);
    expect(usage.deadBytes).toBeLessThan(910_000);
    expect(Math.abs(usage.reclaimableBytes - (freedBytes - copiedBytes))).toBeLessThan(2);
    await repository.collect();
    const after = await repository.usage();
    expect(after).toMatchObject({ deadBytes: 0, reclaimableBytes: 0 });
    expect(after.storedBytes).toBe(usage.storedBytes);
  });

  it('goes on when an image cannot be read', async () => {
    const repository = await world.open();
    await commit(repository, 'web-1', 's1', { a: noise(100_000, 'a') });
    const [name] = [...world.blobs.blobs.keys()].filter((one) => one.startsWith('packs/')) as [string];
    await commit(repository, 'web-2', 's2', { b: noise(100_000, 'b') });
    await repository.close();
    const bytes = Buffer.from(world.blobs.blobs.get(name) as Uint8Array);
    world.blobs.blobs.set(name, bytes.fill(1, 20, Number(bytes.readBigUInt64LE(bytes.length - 56))));
    const usage = await (await world.open()).usage();
    expect(usage.unreadableImages).toBeGreaterThan(0);
    expect(usage.byServer).toMatchObject([
      { name: 'web-1' },
      { name: 'web-2', uniqueBytes: nearly(100_000) },
    ]);
  });
});

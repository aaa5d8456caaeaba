/** Damage in the repository, healed by the agent of a directory that still has the bytes. */

import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { noise } from '../../core/repository/fixture.ts';
import { collectBytes } from '../../core/testing/index.ts';
import { World } from './agent-world.ts';

let world: World;
let root: string;
beforeEach(async () => {
  world = await World.create();
  root = await world.makeRoot('root');
});
afterEach(async () => {
  await world.end();
});

const packs = () => [...world.blobs.blobs.keys()].filter((name) => name.startsWith('packs/')).sort();

/** Flips a bit where these bytes lie in some pack. */
function spoil(bytes: Uint8Array): void {
  for (const name of packs()) {
    const pack = Buffer.from(world.blobs.blobs.get(name) as Uint8Array);
    const at = pack.indexOf(bytes);
    if (at < 0) continue;
    pack[at + 5] = (pack[at + 5] as number) ^ 4;
    world.blobs.blobs.set(name, pack);
    return;
  }
  throw new Error('these bytes are stored nowhere as they are');
}

async function write(files: Readonly<Record<string, Buffer>>): Promise<void> {
  for (const [path, bytes] of Object.entries(files)) await writeFile(join(root, path), bytes);
}

const verify = () => world.repository.verify({ readData: true });

/** As an appliance that was restarted: nothing is kept in memory. */
async function restart(): Promise<void> {
  await world.stop();
  await world.start();
}

/**
 * A snapshot of forty files, whose list is damaged since. Lists of files are compressed: everything behind the contents, which
 * are not, is spoilt.
 */
async function snapshotWithSpoiltLists(): Promise<void> {
  const files = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`f${at}`, noise(9_000, at)]));
  await write(files);
  await world.snapshot(root);
  const [name] = packs() as [string];
  const pack = Buffer.from(world.blobs.blobs.get(name) as Uint8Array);
  const behind = Math.max(...Object.values(files).map((bytes) => pack.indexOf(bytes) + bytes.length));
  pack.fill(0, behind, behind + 200);
  world.blobs.blobs.set(name, pack);
  await restart();
}

describe('a flipped bit', () => {
  test('is named, and healed by the agent that offers everything', async () => {
    const files = { a: noise(300_000, 'a'), b: noise(400_000, 'b'), c: Buffer.from('small') };
    await write(files);
    const first = await world.snapshot(root);
    spoil(files.b.subarray(0, 64));
    await restart();
    const report = await verify();
    expect(report).toMatchObject({ sound: false, damagedChunks: 1 });
    expect(report.places).toMatchObject([{ server: 'web-1', snapshot: first.id, path: 'b' }]);

    world.policy.everything = true;
    const healing = await world.snapshot(root);
    expect(healing.stats.filesChanged).toBe(0);
    // The content that was damaged, and nothing of the others.
    expect(healing.stats.bytesReceived).toBeGreaterThan(400_000);
    expect(healing.stats.bytesReceived).toBeLessThan(450_000);
    expect(await world.repository.mend()).toMatchObject({ placesTotal: 0, damagedChunks: 0 });
    expect(await verify()).toMatchObject({ sound: true, damagedPacks: [] });
    for await (const { path, content } of world.repository.readManifest(first.manifest)) {
      if (content === undefined) continue;
      expect(await collectBytes(world.repository.readContent(content))).toEqual(
        files[path as keyof typeof files],
      );
    }
  });

  test('in a list of files is healed too, and keeps no snapshot from being taken', async () => {
    await snapshotWithSpoiltLists();
    const report = await verify();
    expect(report.sound).toBe(false);
    expect(report.places.some(({ what }) => what === 'list')).toBe(true);
    world.policy.everything = true;
    await world.snapshot(root);
    expect(await world.repository.mend()).toMatchObject({ placesTotal: 0 });
    expect(await verify()).toMatchObject({ sound: true });
  });

  test('in a list of files that nobody has noticed yet is healed by the snapshot that meets it', async () => {
    await snapshotWithSpoiltLists();
    await write({ f7: Buffer.from('changed') });
    const healing = await world.snapshot(root);
    let entries = 0;
    for await (const { content } of world.repository.readManifest(healing.manifest)) {
      if (content !== undefined) await collectBytes(world.repository.readContent(content));
      entries += 1;
    }
    expect(entries).toBe(41);
  });

  test('in what no machine has any more stays, is named, and nothing of it is taken away', async () => {
    const files = { old: noise(300_000, 'old'), kept: noise(300_000, 'kept') };
    await write(files);
    const first = await world.snapshot(root);
    await rm(join(root, 'old'));
    spoil(files.old.subarray(0, 64));
    await restart();
    await verify();
    const before = packs();
    world.policy.everything = true;
    await world.snapshot(root);
    const left = await world.repository.mend();
    expect(left.places).toMatchObject([{ snapshot: first.id, path: 'old' }]);
    await world.repository.collect();
    for (const pack of before) expect(world.blobs.blobs.has(pack)).toBe(true);
  });

  test('is healed by an ordinary snapshot as well, once the file has changed or the commit met it', async () => {
    const files = { a: noise(300_000, 'a') };
    await write(files);
    await world.snapshot(root);
    spoil(files.a.subarray(0, 64));
    await restart();
    expect((await verify()).sound).toBe(false);
    await write({ b: Buffer.from('new, so that the page that lists both is committed') });
    await world.snapshot(root);
    expect(await verify()).toMatchObject({ sound: true });
  });

  test('under a large file that changed costs the delta, not the snapshot', async () => {
    const big = noise(3_000_000, 'big');
    await write({ big });
    await world.snapshot(root);
    spoil(big.subarray(0, 64));
    await restart();
    await verify();
    const changed = Buffer.from(big);
    changed.fill(7, 2_000_000, 2_000_100);
    await write({ big: changed });
    const second = await world.snapshot(root);
    for await (const { content } of world.repository.readManifest(second.manifest)) {
      if (content === undefined) continue;
      expect(await collectBytes(world.repository.readContent(content))).toEqual(changed);
    }
  });
});

describe('a pack whose index is damaged', () => {
  test('is salvaged without any machine, and goes with the next collection', async () => {
    const files = { a: noise(300_000, 'a'), b: noise(400_000, 'b') };
    await write(files);
    const snapshot = await world.snapshot(root);
    const [name] = packs() as [string];
    const pack = Buffer.from(world.blobs.blobs.get(name) as Uint8Array);
    pack[pack.length - 60] = (pack[pack.length - 60] as number) ^ 1;
    world.blobs.blobs.set(name, pack);
    await restart();
    expect(await verify()).toMatchObject({ sound: false, placesTotal: 0, damagedPacksTotal: 1 });
    expect(await world.repository.mend()).toMatchObject({ salvagedPacks: 1, placesTotal: 0 });
    await world.repository.collect();
    expect(packs()).not.toContain(name);
    expect(await verify()).toMatchObject({ sound: true });
    for await (const { path, content } of world.repository.readManifest(snapshot.manifest)) {
      if (content === undefined) continue;
      expect(await collectBytes(world.repository.readContent(content))).toEqual(files[path as 'a']);
    }
  });

  test('stays for as long as images lack anything, and goes once machines have sent it', async () => {
    await write({ a: noise(300_000, 'a') });
    await world.snapshot(root);
    const [name] = packs() as [string];
    const pack = Buffer.from(world.blobs.blobs.get(name) as Uint8Array);
    pack[pack.length - 60] = (pack[pack.length - 60] as number) ^ 1;
    await world.stop();
    world.blobs.blobs.set(name, pack);
    await rm(join(world.dir, 'repository-state'), { recursive: true });
    await world.start();
    expect(await verify()).toMatchObject({ sound: false, placesTotal: 1 });
    await expect(world.repository.collect()).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    expect(packs()).toContain(name);
    world.policy.everything = true;
    await world.snapshot(root);
    expect(await world.repository.mend()).toMatchObject({ placesTotal: 0 });
    await world.repository.collect();
    expect(packs()).not.toContain(name);
    expect(await verify()).toMatchObject({ sound: true });
  });
});

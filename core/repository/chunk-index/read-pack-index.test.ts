/** A pack's index that the disk reads wrong once is not damaged: its chunks would all be missing. */

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ManifestRef } from '../../domain/manifest.ts';
import { OnceWrongStore } from '../../testing/fakes/once-wrong-store.ts';
import { recordingLog } from '../../testing/fakes/recording-log.ts';
import { commitTree, digestsOf, eachWorld, prose, readTree } from '../fixture.ts';

const world = eachWorld();
const files = { a: prose(400_000, 'a'), b: prose(100_000, 'b') };

async function stored(): Promise<{ name: string; at: number; manifest: ManifestRef }> {
  const repository = await world.open();
  const { manifest } = await commitTree(repository, 's1', files);
  await repository.close();
  world.crash();
  const [name, pack] = [...world.blobs.blobs].find(([blob]) => blob.startsWith('packs/')) as [
    string,
    Uint8Array,
  ];
  return { name, at: pack.length - 1, manifest };
}

/** Opened without what was known of the pack, whose end reads wrong so many times. */
async function openedAnew(times: number) {
  const { name, at, manifest } = await stored();
  const store = new OnceWrongStore(world.blobs);
  const as = (bytes: Uint8Array) => bytes.map((byte, nth) => (nth === bytes.length - 100 ? byte ^ 1 : byte));
  store.wrong = { name, at, times, as };
  const log = recordingLog();
  const repository = await world.open({ store, log, stateDir: join(world.stateDir, 'anew') });
  return { repository, store, log, manifest };
}

describe('the index of a pack', () => {
  it('read wrong once is read again, when the repository is opened and when it is verified', async () => {
    const { repository, store, log, manifest } = await openedAnew(1);
    expect(store.left).toBe(0);
    expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
    expect(await readTree(repository, manifest)).toEqual(digestsOf(files));
    store.left = 1;
    expect(await repository.verify()).toMatchObject({ sound: true, damagedPacks: [] });
    expect(store.left).toBe(0);
  });

  it('read wrong twice in a row is damaged', async () => {
    const { repository, log, manifest } = await openedAnew(2);
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
    await expect(readTree(repository, manifest)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
  });
});

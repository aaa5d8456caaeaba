/** A pack that was optimised replaces another for good: what was read wrong must not get into it. */

import { describe, expect, it } from 'vitest';
import type { Repository } from '../../contracts/repository.ts';
import type { ManifestRef } from '../../domain/manifest.ts';
import { dictionaryCodec } from '../../testing/fakes/dictionary-codec.ts';
import { OnceWrongStore } from '../../testing/fakes/once-wrong-store.ts';
import { recordingLog } from '../../testing/fakes/recording-log.ts';
import { commitTree, contentsOf, digestsOf, eachWorld, noise, prose, readTree } from '../fixture.ts';
import { HEADER_BYTES, isOptimised } from '../packs/pack-format.ts';

const world = eachWorld();

/** The first snapshot's pack begins with a whole chunk, the second one's with a delta on it, which zstd cannot check. */
const first = { a: prose(400_000, 'a'), b: prose(200_000, 'b') };
const second = { a: Buffer.concat([noise(50_000, 'new'), first.a]), b: first.b };

interface Stored {
  readonly repository: Repository;
  readonly store: OnceWrongStore;
  readonly log: ReturnType<typeof recordingLog>;
  /** Of the first snapshot, of the second, and of another that has nothing in common with them. */
  readonly packs: readonly [string, string, string];
  readonly manifest: ManifestRef;
}

const packs = () => [...world.blobs.blobs.keys()].filter((name) => name.startsWith('packs/'));

async function threeSnapshots(): Promise<Stored> {
  const store = new OnceWrongStore(world.blobs);
  const log = recordingLog();
  const repository = await world.open({ store, log, codecs: [dictionaryCodec()] });
  const one = await commitTree(repository, 's1', first);
  const [whole] = packs() as [string];
  const near = await contentsOf(repository, one.manifest);
  const two = await commitTree(repository, 's2', second, (path) => [near.get(path) ?? []].flat());
  const delta = packs().find((name) => name !== whole) as string;
  await commitTree(repository, 's3', { c: prose(100_000, 'c') });
  const other = packs().find((name) => name !== whole && name !== delta) as string;
  expect((await repository.stats()).byForm.dictionary?.chunks).toBeGreaterThan(0);
  return { repository, store, log, packs: [whole, delta, other], manifest: two.manifest };
}

/** Another byte 200 behind the beginning of the first frame. */
const flipped = (bytes: Uint8Array) => bytes.map((byte, nth) => (nth === 200 ? byte ^ 1 : byte));

/** Only stretches that begin with the frame: the pack's index is read along with it in a small one. */
function frameWrong(store: OnceWrongStore, name: string, times: number): { reads: number } {
  const seen = { reads: 0 };
  store.wrong = {
    name,
    at: HEADER_BYTES,
    times: 1000,
    as: (bytes) => {
      const isFrame = bytes.length < (world.blobs.blobs.get(name) as Uint8Array).length - HEADER_BYTES;
      if (!isFrame || seen.reads >= times) return bytes;
      seen.reads += 1;
      return flipped(bytes);
    },
  };
  return seen;
}

async function expectSound({ repository, manifest }: Stored): Promise<void> {
  expect(await readTree(repository, manifest)).toEqual(digestsOf(second));
  expect(await repository.verify({ readData: true })).toMatchObject({ sound: true, damagedPacks: [] });
}

describe('optimise, where the disk reads a frame wrong once', () => {
  it.each([
    ['of whole chunks', 0],
    ['with a delta', 1],
  ] as const)('reads it again, and replaces nothing by it: a frame %s', async (_, which) => {
    const stored = await threeSnapshots();
    const seen = frameWrong(stored.store, stored.packs[which], 1);
    expect(await stored.repository.optimise()).toMatchObject({ packs: 3 });
    expect(seen.reads).toBe(1);
    await stored.repository.collect();
    await expectSound(stored);
    expect(stored.log.lines.filter(({ level }) => level === 'warn')).toEqual([]);
  });
});

describe('optimise, where a pack is damaged for good', () => {
  const spoil = (name: string, at: number) => {
    const pack = Uint8Array.from(world.blobs.blobs.get(name) as Uint8Array);
    const nth = at < 0 ? pack.length + at : at;
    pack[nth] = (pack[nth] as number) ^ 1;
    world.blobs.blobs.set(name, pack);
    return pack;
  };
  const inFrame = HEADER_BYTES + 200;
  const inIndex = -70;

  it.each([
    // The second pack's delta cannot be made without its base.
    ['a whole chunk that is a base', 0, inFrame, [0, 1]],
    ['a delta', 1, inFrame, [1]],
    ['its index', 1, inIndex, [1]],
  ] as const)('leaves it as it is, and does the others: %s', async (_, which, at, left) => {
    const { repository, log, packs: names } = await threeSnapshots();
    const bytes = spoil(names[which], at);
    expect(await repository.optimise()).toMatchObject({ packs: 3 - left.length });
    expect(log.lines.filter(({ message }) => message.startsWith('a pack is left'))).toMatchObject(
      left.map((nth) => ({ level: 'warn', fields: { pack: names[nth] } })),
    );
    const made = packs().filter((name) => !names.includes(name));
    expect(made).toHaveLength(3 - left.length);
    expect(made.every((name) => isOptimised(headerOf(name)))).toBe(true);
    expect(world.blobs.blobs.get(names[which])).toEqual(bytes);
  });

  const headerOf = (name: string) => (world.blobs.blobs.get(name) as Uint8Array).subarray(0, HEADER_BYTES);

  it('does it as soon as the pack is as it was', async () => {
    const stored = await threeSnapshots();
    spoil(stored.packs[1], inFrame);
    await stored.repository.optimise();
    spoil(stored.packs[1], inFrame);
    expect(await stored.repository.optimise()).toMatchObject({ packs: 1 });
    await stored.repository.collect();
    await expectSound(stored);
  });
});

it('optimise leaves deltas as they are that it cannot make, for want of their codec', async () => {
  const { repository, packs: names } = await threeSnapshots();
  await repository.close();
  const log = recordingLog();
  const without = await world.open({ log });
  expect(await without.optimise()).toMatchObject({ packs: 2 });
  expect(log.lines).toContainEqual(
    expect.objectContaining({ level: 'warn', fields: expect.objectContaining({ pack: names[1] }) }),
  );
});

it('optimise ends where the storage gives nothing', async () => {
  const { repository, store } = await threeSnapshots();
  store.get = () => Promise.reject(Object.assign(new Error('I/O error'), { code: 'EIO' }));
  await expect(repository.optimise()).rejects.toMatchObject({ code: 'PLUGIN_FAILED' });
});

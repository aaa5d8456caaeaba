import { describe, expect, it } from 'vitest';
import { dictionaryCodec } from '../../testing/fakes/dictionary-codec.ts';
import { FaultyBlobStore } from '../../testing/fakes/faulty-blob-store.ts';
import { MemoryBlobStore } from '../../testing/fakes/memory-blob-store.ts';
import { commitTree, contentsOf, digestsOf, eachWorld, noise, readTree } from '../fixture.ts';

const world = eachWorld();

const open = () => world.open({ codecs: [dictionaryCodec()] });

/** Text that a harder search compresses better: words of a small vocabulary. */
function words(bytes: number, seed: string): Buffer {
  const numbers = noise(bytes, seed);
  const text = Array.from({ length: bytes / 4 }, (_, at) => `w${(numbers[at] as number) % 97} `).join('');
  return Buffer.from(text.slice(0, bytes));
}

const first = { a: words(900_000, 'a'), b: words(600_000, 'b'), c: Buffer.from('small') };

async function twoSnapshots() {
  const repository = await open();
  const one = await commitTree(repository, 's1', first);
  const before = await contentsOf(repository, one.manifest);
  const second = { ...first, a: Buffer.concat([noise(500, 'new'), first.a]) };
  const two = await commitTree(repository, 's2', second, (path) =>
    [before.get(path)].flatMap((c) => c ?? []),
  );
  return { repository, manifests: [one.manifest, two.manifest] };
}

describe('optimise', () => {
  it('makes packs smaller, keeps every byte, and does nothing the second time', async () => {
    const { repository, manifests } = await twoSnapshots();
    const trees = await Promise.all(manifests.map((manifest) => readTree(repository, manifest)));
    const pauses: number[] = [];
    const done = await repository.optimise({ pause: async (ms) => void pauses.push(ms) });
    expect(done.packs).toBe(2);
    expect(done.bytesAfter).toBeLessThan(done.bytesBefore);
    expect(pauses).toHaveLength(2);
    expect(await Promise.all(manifests.map((manifest) => readTree(repository, manifest)))).toEqual(trees);
    expect(await repository.optimise()).toEqual({ packs: 0, bytesBefore: 0, bytesAfter: 0 });
  });

  it('leaves nothing alive in what it replaced: a collection removes it, and everything is still there', async () => {
    const { repository, manifests } = await twoSnapshots();
    const old = [...world.blobs.blobs.keys()].filter((name) => name.startsWith('packs/'));
    const trees = await Promise.all(manifests.map((manifest) => readTree(repository, manifest)));
    await repository.optimise();
    const now = [...world.blobs.blobs.keys()].filter((name) => name.startsWith('packs/'));
    expect(now).toHaveLength(2 * old.length);
    expect(await repository.collect()).toMatchObject({ removedPacks: old.length, copiedPacks: 0 });
    for (const name of old) expect(world.blobs.blobs.has(name)).toBe(false);
    expect(await Promise.all(manifests.map((manifest) => readTree(repository, manifest)))).toEqual(trees);
  });

  it('cut off at a write leaves everything readable, and goes on the next time', async () => {
    const { repository, manifests } = await twoSnapshots();
    const trees = await Promise.all(manifests.map((manifest) => readTree(repository, manifest)));
    await repository.close();
    world.crash();
    const faulty = new FaultyBlobStore(new MemoryBlobStore(world.blobs));
    const failing = await world.open({ codecs: [dictionaryCodec()], store: faulty });
    faulty.fault = ({ operation }) => {
      if (operation === 'put') throw Object.assign(new Error('full'), { name: 'BlobStoreFull' });
    };
    await expect(failing.optimise()).rejects.toMatchObject({ code: 'REPOSITORY_FULL' });
    await failing.close().catch(() => undefined);
    world.crash();
    const healed = await open();
    expect(await Promise.all(manifests.map((manifest) => readTree(healed, manifest)))).toEqual(trees);
    expect((await healed.optimise()).bytesAfter).toBeGreaterThan(0);
    expect(await Promise.all(manifests.map((manifest) => readTree(healed, manifest)))).toEqual(trees);
  });

  it('stops in the middle of a pack when told to, which stays as it was', async () => {
    const store = new FaultyBlobStore(new MemoryBlobStore(world.blobs));
    const repository = await world.open({ codecs: [dictionaryCodec()], store });
    const { manifest } = await commitTree(repository, 's1', first);
    const packs = () => [...world.blobs.blobs.keys()].filter((name) => name.startsWith('packs/'));
    const before = packs();
    const stop = new AbortController();
    // Its header, its index, then its frames.
    store.fault = ({ operation, name }) => {
      if (operation === 'get' && name === before[0]) stop.abort(new Error('enough'));
    };
    await expect(repository.optimise({ signal: stop.signal })).rejects.toThrow('enough');
    expect(packs()).toEqual(before);
    store.fault = () => undefined;
    expect(await readTree(repository, manifest)).toEqual(digestsOf(first));
    expect(await repository.optimise()).toMatchObject({ packs: 1 });
  });

  it('stops while it reads what was done before when told to', async () => {
    const store = new FaultyBlobStore(new MemoryBlobStore(world.blobs));
    const repository = await world.open({ codecs: [], store });
    for (const id of ['s1', 's2', 's3', 's4']) await commitTree(repository, id, { [id]: noise(300_000, id) });
    await repository.optimise();
    await repository.collect();
    await commitTree(repository, 's5', { s5: noise(300_000, 's5') });
    const stop = new AbortController();
    const reads = new Map<string, number>();
    let after = 0;
    store.fault = ({ operation, name }) => {
      if (operation !== 'get' || !name.startsWith('packs/')) return;
      if (stop.signal.aborted) after += 1;
      // Behind its header comes its index: what it holds is being learned.
      reads.set(name, (reads.get(name) ?? 0) + 1);
      if (reads.get(name) === 2) stop.abort(new Error('enough'));
    };
    await expect(repository.optimise({ signal: stop.signal })).rejects.toThrow('enough');
    expect(stop.signal.aborted).toBe(true);
    expect(after).toBeLessThan(4);
  });

  it('stops between packs when told to', async () => {
    const { repository } = await twoSnapshots();
    const stop = new AbortController();
    const pause = async () => stop.abort(new Error('enough'));
    await expect(repository.optimise({ signal: stop.signal, pause })).rejects.toThrow('enough');
  });
});

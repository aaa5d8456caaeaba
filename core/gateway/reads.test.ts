/** What an appliance finds out about an image while an agent looks at its pages. */

import { describe, expect, it, vi } from 'vitest';
import { digestOf } from '../domain/content-ref.ts';
import { compressFrames, requestFrames } from '../domain/frames.ts';
import type { ManifestRef } from '../domain/manifest.ts';
import type { ReadHead } from '../domain/transfer-bodies.ts';
import { commitTree, eachWorld } from '../repository/fixture.ts';
import { collect } from '../testing/collect.ts';
import type { ImageIndex, ImageIndexes } from './image-index.ts';
import { Reads, type ReadsOptions } from './reads.ts';
import type { Session } from './sessions.ts';

const world = eachWorld();
const session = { identity: { standing: 'admitted', server: 'web-1' } } as unknown as Session;
const NOTHING: ImageIndex = { pages: { has: () => false }, chunks: { has: () => false } };

/** A server of two snapshots, of which the newest may say that it has more; indexes that are built once they are let. */
async function reads({ entriesOfNewest }: { readonly entriesOfNewest?: number } = {}) {
  const repository = await world.open();
  const older = await commitTree(repository, 's1', { a: Buffer.from('older') });
  const newer = await commitTree(repository, 's2', { a: Buffer.from('newer') });
  const asked: string[] = [];
  const building: PromiseWithResolvers<ImageIndex>[] = [];
  const of = (image: ManifestRef) => {
    asked.push(image.root);
    const built = Promise.withResolvers<ImageIndex>();
    building.push(built);
    return built.promise;
  };
  const listSnapshots: typeof repository.listSnapshots = async (server) =>
    (await repository.listSnapshots(server)).map((one, at, all) =>
      at < all.length - 1 || entriesOfNewest === undefined
        ? one
        : { ...one, manifest: { ...one.manifest, entries: entriesOfNewest } },
    );
  const listing = new Proxy(repository, {
    get(target, name) {
      const own: unknown = name === 'listSnapshots' ? listSnapshots : Reflect.get(target, name);
      return typeof own === 'function' ? own.bind(target) : own;
    },
  });
  const policy = { mayRead: async () => true } as unknown as ReadsOptions['policy'];
  const indexes = { of } as unknown as ImageIndexes;
  const made = new Reads({ policy, repository: listing, indexes, codecs: async () => [] });
  const pagesOf = async (head: ReadHead) => {
    const frames = await made.manifest(session, compressFrames(requestFrames(head, []), 'light'));
    return await collect(frames);
  };
  /** All that is under way comes to its end. */
  const build = async () => {
    const done = () => {
      for (const one of building.splice(0)) one.resolve(NOTHING);
      return asked.length;
    };
    for (let before = -1, now = done(); now !== before; now = done()) {
      before = now;
      await new Promise((settled) => setTimeout(settled, 20));
    }
  };
  return { pagesOf, asked, building, build, older: older.manifest, newer: newer.manifest };
}

describe('pages of an image', () => {
  it('are followed by its index and those of the server’s newest states, where contents are asked for next', async () => {
    const { pagesOf, asked, build, older, newer } = await reads();
    const frames = await pagesOf({ image: newer, server: 'web-1', willFetch: true });
    expect(frames.length).toBeGreaterThan(0);
    await vi.waitFor(() => expect(asked).toEqual([newer.root]));
    await build();
    expect(asked).toEqual([newer.root, older.root, newer.root]);
  });

  it('are all there is where nothing is said, and while another’s are looked at', async () => {
    const { pagesOf, asked, build, newer } = await reads();
    await pagesOf({ image: newer, server: 'web-1' });
    await build();
    expect(asked).toEqual([]);
    for (let agent = 0; agent < 5; agent++) await pagesOf({ image: newer, willFetch: true });
    await vi.waitFor(() => expect(asked).toEqual([newer.root]));
    await build();
    await pagesOf({ image: newer, willFetch: true });
    await vi.waitFor(() => expect(asked).toEqual([newer.root, newer.root]));
    await build();
  });

  it('do not have the indexes of very long lists built before they are needed', async () => {
    const { pagesOf, asked, build, older } = await reads({ entriesOfNewest: 5_000_000 });
    await pagesOf({ image: older, server: 'web-1', willFetch: true });
    await build();
    // Once as what was asked for, once as one of the server's newest.
    expect(asked).toEqual([older.root, older.root]);
  });

  it('do not fail with an index, and the next one is built', async () => {
    const { pagesOf, asked, building, build, newer } = await reads();
    await pagesOf({ image: newer, willFetch: true });
    await vi.waitFor(() => expect(building).toHaveLength(1));
    building.splice(0)[0]?.reject(new Error(`damaged: ${digestOf(Buffer.from('page'))}`));
    await build();
    await pagesOf({ image: newer, willFetch: true });
    await vi.waitFor(() => expect(asked).toEqual([newer.root, newer.root]));
    await build();
  });
});

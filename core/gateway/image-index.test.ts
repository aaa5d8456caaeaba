import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Repository } from '../contracts/repository.ts';
import { digestOf } from '../domain/content-ref.ts';
import type { Digest, Entry, ManifestRef } from '../domain/manifest.ts';
import { makeWorld, type World } from '../repository/fixture.ts';
import { ImageIndexes, pagesOf } from './image-index.ts';

let world: World;
let repository: Repository;
let read: Digest[];
let noting: Pick<Repository, 'readChunk'>;
let indexes: ImageIndexes;

beforeEach(async () => {
  world = await makeWorld();
  repository = await world.open();
  read = [];
  noting = {
    readChunk: (digest: Digest) => {
      read.push(digest);
      return repository.readChunk(digest);
    },
  };
  indexes = new ImageIndexes(noting as Repository);
});
afterEach(() => world.cleanUp());

const nameOf = (file: number) => `file-${`${file}`.padStart(6, '0')}`;
const digestAt = (file: number) => digestOf(Buffer.from(`content ${file}`));

/** Lists files whose contents are nowhere: an index does not read them. */
async function image(files: readonly number[]): Promise<ManifestRef> {
  const session = await repository.ingest({ label: 'test' });
  async function* entries(): AsyncGenerator<Entry> {
    const head = { mode: 0o755, uid: 0, gid: 0, mtimeNs: '0' };
    yield { path: '', type: 'directory', ...head } as Entry;
    for (const file of files) {
      const digest = digestAt(file);
      const content = { digest, bytes: 9, chunks: [{ digest, bytes: 9 }] };
      yield { path: nameOf(file), type: 'file', ...head, content } as Entry;
    }
  }
  const manifest = await session.writeManifest(entries(), { sorted: true });
  await session.flush();
  return manifest;
}

async function readsOf(work: () => Promise<unknown>): Promise<number> {
  read = [];
  await work();
  return read.length;
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at);

describe('indexes of images', () => {
  it('tell of each image what is in it, though they are kept together', async () => {
    const [first, second] = [await image(range(0, 300)), await image(range(100, 400))];
    const [a, b] = [await indexes.of(first, 'web'), await indexes.of(second, 'web')];
    for (const [file, inFirst, inSecond] of [
      [0, true, false],
      [200, true, true],
      [399, false, true],
      [400, false, false],
    ] as const) {
      expect(a.chunks.has(digestAt(file))).toBe(inFirst);
      expect(b.chunks.has(digestAt(file))).toBe(inSecond);
    }
    expect([a.pages.has(first.root), a.pages.has(second.root)]).toEqual([true, false]);
  });

  it('are built once, a server at a time, for more images than one shelf takes', async () => {
    const images = await Promise.all(range(1, 41).map((files) => image(range(0, files))));
    for (const one of images) await indexes.of(one, 'web');
    read = [];
    const newest = await indexes.of(images.at(-1) as ManifestRef, 'web');
    expect(read).toEqual([]);
    expect(newest.chunks.has(digestAt(39))).toBe(true);
    const oldest = await indexes.of(images[0] as ManifestRef, 'web');
    expect([oldest.chunks.has(digestAt(0)), oldest.chunks.has(digestAt(1))]).toEqual([true, false]);
    await indexes.of(images.at(-1) as ManifestRef, 'db');
    expect(read.length).toBeGreaterThan(0);
  });

  it('give up what is too much: images that have nothing in common, servers that were not looked at', async () => {
    const small = new ImageIndexes(noting as Repository, 500_000);
    const images = await Promise.all(range(0, 8).map((at) => image(range(at * 3000, (at + 1) * 3000))));
    const [first, last] = [images[0] as ManifestRef, images.at(-1) as ManifestRef];
    for (const one of images) await small.of(one, 'web');
    expect(await readsOf(() => small.of(last, 'web'))).toBe(0);
    expect(await readsOf(() => small.of(first, 'web'))).toBeGreaterThan(0);
    for (const server of ['a', 'b', 'c', 'd']) await small.of(first, server);
    expect(await readsOf(() => small.of(first, 'd'))).toBe(0);
    expect(await readsOf(() => small.of(first, 'web'))).toBeGreaterThan(0);
  });

  it('forget a damaged image, and ask for it again', async () => {
    const ref = await image(range(0, 10));
    const lost = { ...ref, root: digestOf(Buffer.from('lost')) };
    await expect(indexes.of(lost, 'web')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(indexes.of(lost, 'web')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect((await indexes.of(ref, 'web')).chunks.has(digestAt(3))).toBe(true);
  });

  it('name all pages, reading only those that list others', async () => {
    const ref = await image(range(0, 3000));
    const { pages } = await indexes.of(ref);
    read = [];
    const all = await pagesOf(noting, ref);
    expect(all.length).toBeGreaterThan(10);
    expect(all.every((digest) => pages.has(digest))).toBe(true);
    expect(read[0]).toBe(ref.root);
    expect(read.length).toBeLessThan(all.length / 4);
  });
});

/** Pages that are read in another way than they are written keep what they list all the same. */

import { expect, it } from 'vitest';
import { digestOf } from '../../domain/content-ref.ts';
import { encodeIndex } from '../../domain/page-index.ts';
import { PAGE_HEADER } from '../../domain/pages.ts';
import { collect } from '../../testing/collect.ts';
import { eachWorld, fileEntry, snapshotOf } from '../fixture.ts';

const world = eachWorld();
const bytes = Buffer.from('a');
const one = { digest: digestOf(bytes), bytes: 1 };

it('a collection keeps the content of a file whose line names its type twice', async () => {
  const repository = await world.open();
  const first = await repository.ingest({ label: 'content' });
  await first.addChunk(one.digest, bytes);
  await first.flush();
  await first.close();
  const session = await repository.ingest({ label: 's1' });
  const line = `{"p":"a","t":"d","m":420,"u":0,"g":0,"n":"1","c":[1,"${one.digest}"],"t":"f"}`;
  const page = Buffer.from(`${PAGE_HEADER}\n${line}\n`);
  const pages = [{ digest: digestOf(page), pageBytes: page.length, first: 'a', entries: 1, bytes: 1 }];
  const root = encodeIndex({ level: 1, pages });
  for (const stored of [page, root]) await session.addChunk(digestOf(stored), stored);
  await session.flush();
  const manifest = { root: digestOf(root), entries: 1, bytes: 1 };
  await repository.commitSnapshot(snapshotOf('s1', manifest));
  await session.close();
  expect(await repository.collect()).toMatchObject({ liveChunks: 3 });
  const [entry] = await collect(repository.readManifest(manifest));
  expect(entry?.type).toBe('file');
  expect(digestOf(await repository.readChunk(one.digest))).toBe(one.digest);
});

it.each([
  ['a hundred thousand chunks', 100_000, 'disk.img'],
  ['a path of millions of newlines', 1, '\n'.repeat(3_900_000)],
])('an image with %s is collected, and its use counted', async (_, count, path) => {
  const repository = await world.open();
  const session = await repository.ingest({ label: 's1' });
  await session.addChunk(one.digest, bytes);
  const chunks = Array.from({ length: count }, () => one);
  const content = { digest: digestOf(Buffer.alloc(count, bytes)), bytes: count, chunks };
  const manifest = await session.writeManifest([fileEntry(path, content)]);
  await session.flush();
  await repository.commitSnapshot(snapshotOf('s1', manifest));
  await session.close();
  expect((await repository.collect()).liveChunks).toBe(3);
  expect((await repository.usage()).snapshots).toBe(1);
});

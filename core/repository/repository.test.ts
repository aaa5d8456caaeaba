import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Repository } from '../contracts/repository.ts';
import { digestOf } from '../domain/content-ref.ts';
import type { Entry } from '../domain/manifest.ts';
import type { Master } from '../domain/master.ts';
import { comparePaths } from '../domain/path.ts';
import { collect, collectBytes } from '../testing/collect.ts';
import { MemoryBlobStore } from '../testing/fakes/memory-blob-store.ts';
import {
  commitTree,
  digestsOf,
  eachWorld,
  fileEntry,
  noise,
  prose,
  readTree,
  refOf,
  snapshotOf,
  storeTree,
  streamed,
} from './fixture.ts';

const world = eachWorld();
let repository: Repository;
beforeEach(async () => {
  repository = await world.open();
});

const files = {
  'etc/hostname': Buffer.from('web-1\n'),
  'etc/empty': Buffer.alloc(0),
  'usr/bin/server': prose(3_000_000, 'server'),
  'var/noise': noise(9_000_000, 'noise'),
};

describe('images', () => {
  it('come back byte for byte, also after closing and opening again', async () => {
    const snapshot = await commitTree(repository, 's1', files);
    expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf(files));
    await repository.close();
    const again = await world.open();
    expect(await again.listSnapshots('web-1')).toEqual([snapshot]);
    expect(await readTree(again, snapshot.manifest)).toEqual(digestsOf(files));
  });

  it('are the same manifest whatever order their entries came in', async () => {
    const session = await repository.ingest({ label: 'order' });
    const entries: Entry[] = [];
    for (const [path, bytes] of Object.entries(files)) {
      entries.push(fileEntry(path, await session.addStream(streamed(bytes))));
    }
    const forwards = await session.writeManifest(entries);
    expect(await session.writeManifest(entries.toReversed())).toEqual(forwards);
    const inOrder = entries.toSorted((a, b) => comparePaths(a.path, b.path));
    expect(await session.writeManifest(inOrder, { sorted: true })).toEqual(forwards);
    const reversed = session.writeManifest(inOrder.toReversed(), { sorted: true });
    await expect(reversed).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
  });

  it('of many entries are sorted outside memory, and doubles are refused', async () => {
    const session = await repository.ingest({ label: 'many' });
    const content = await session.addStream(streamed(Buffer.from('x')));
    const paths = Array.from(
      { length: 45_000 },
      (_, at) => `d/${(at * 7919) % 45_000}${at % 3 ? '' : '/x-.y'}`,
    );
    const entries = paths.map((path) => ({ ...fileEntry(path.replace('/x-', '-'), content) }));
    const manifest = await session.writeManifest(entries);
    await session.flush();
    await repository.commitSnapshot(snapshotOf('many', manifest));
    const read = await collect(repository.readManifest(manifest));
    expect(read.map((entry) => entry.path)).toEqual(entries.map((entry) => entry.path).sort(comparePaths));
    const twice = session.writeManifest([...entries, entries[7] as Entry]);
    await expect(twice).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
  });

  it('can be read below a path only, and as raw pages', async () => {
    const { manifest } = await commitTree(repository, 's1', files);
    const below = await collect(repository.readManifest(manifest, { under: 'etc' }));
    expect(below.map((entry) => entry.path)).toEqual(['etc/empty', 'etc/hostname']);
    const pages = await collect(repository.readManifestPages(manifest));
    expect(await repository.hasChunks(pages.map(digestOf))).toEqual(pages.map(() => true));
  });
});

describe('contents', () => {
  it('are read at random as they would be from the file', async () => {
    const bytes = Buffer.concat([noise(5_000_000, 1), prose(4_000_000, 2)]);
    const session = await repository.ingest({ label: 'random' });
    const content = await session.addStream(streamed(bytes));
    const inSession = session.openContent(content);
    expect(
      Buffer.from(await inSession.read(4_999_990, 20)).equals(bytes.subarray(4_999_990, 5_000_010)),
    ).toBe(true);
    await session.flush();
    const reader = repository.openContent(content);
    const range = fc.tuple(fc.nat(bytes.length + 10), fc.nat(2_500_000));
    await fc.assert(
      fc.asyncProperty(range, async ([offset, length]) => {
        const read = Buffer.from(await reader.read(offset, length));
        expect(read.equals(bytes.subarray(offset, offset + length))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('of a large frame that is not compressed are read by themselves', async () => {
    const chunks = [noise(900_000, 11), noise(900_000, 12), noise(900_000, 13)];
    const session = await repository.ingest({ label: 'parts' });
    for (const chunk of chunks) await session.addBytes(chunk, () => true);
    await session.flush();
    const lengths: number[] = [];
    class Noting extends MemoryBlobStore {
      override async get(...args: Parameters<MemoryBlobStore['get']>) {
        const bytes = await super.get(...args);
        lengths.push(bytes.length);
        return bytes;
      }
    }
    await repository.close();
    const again = await world.open({ store: new Noting(world.blobs) });
    lengths.splice(0);
    for (const chunk of chunks) expect(Buffer.from(await again.readChunk(digestOf(chunk)))).toEqual(chunk);
    expect(lengths).toEqual([900_000, 900_000, 900_000]);
  });

  it('whose list lies about a length are refused, wherever they are read', async () => {
    const session = await repository.ingest({ label: 'lie' });
    const { digest } = await session.addStream(streamed(noise(1000, 9)));
    const other = await session.addStream(streamed(noise(1000, 10)));
    for (const bytes of [400, 2000]) {
      const lie = { digest, bytes, chunks: [{ digest, bytes }] };
      await expect(session.openContent(lie).read(0, bytes)).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
      const two = { digest, bytes: bytes + 1000, chunks: [{ digest, bytes }, ...other.chunks] };
      const reader = session.openContent(two);
      await expect(reader.read(bytes - 10, 20)).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
      expect(Buffer.from(await reader.read(bytes, 1000))).toEqual(noise(1000, 10));
    }
  });

  it('may be left in the middle', async () => {
    const session = await repository.ingest({ label: 'left' });
    const content = await session.addStream(streamed(noise(6_000_000, 3)));
    await session.flush();
    for await (const chunk of repository.readContent(content)) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
  });

  it('with a known recipe are checked against it', async () => {
    const bytes = noise(3_000_000, 'recipe');
    const content = await refOf(bytes);
    const session = await repository.ingest({ label: 'recipe' });
    const refused = { code: 'INPUT_INVALID' };
    const flipped = Buffer.from(bytes);
    flipped[1_500_000] = (flipped[1_500_000] as number) ^ 1;
    await expect(session.addContent(content, streamed(flipped))).rejects.toMatchObject(refused);
    await expect(session.addContent(content, streamed(bytes.subarray(1)))).rejects.toMatchObject(refused);
    await expect(session.addContent(content, streamed(bytes.subarray(0, -1)))).rejects.toMatchObject(refused);
    const longer = Buffer.concat([bytes, Buffer.from('x')]);
    await expect(session.addContent(content, streamed(longer))).rejects.toMatchObject(refused);
    const renamed = { ...content, digest: digestOf(Buffer.from('other')) };
    await expect(session.addContent(renamed, streamed(bytes))).rejects.toMatchObject(refused);
    await session.addContent(content, streamed(bytes));
    await session.flush();
    expect((await collectBytes(repository.readContent(content))).equals(bytes)).toBe(true);
  });

  it('of a wrong digest or an impossible length are not taken', async () => {
    const session = await repository.ingest({ label: 'bad' });
    const add = (digest: string, bytes: Uint8Array) => session.addChunk(digest, bytes);
    const good = digestOf(Buffer.from('good'));
    await expect(add(good, Buffer.from('evil'))).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await expect(add('../../etc', Buffer.from('x'))).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await expect(add(good, new Uint8Array(0))).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await expect(add(good, Buffer.alloc((8 << 20) + 1))).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    expect(await session.missing([good])).toEqual([true]);
  });

  it('that come without a name are told by their own, and are not stored unless they are let in', async () => {
    const session = await repository.ingest({ label: 'unnamed' });
    const bytes = noise(1000, 'unnamed');
    const refuse = () => {
      throw new Error('not asked for');
    };
    await expect(session.addBytes(bytes, refuse)).rejects.toThrow('not asked for');
    expect(await session.addBytes(bytes, () => false)).toBe(digestOf(bytes));
    expect(await session.missing([digestOf(bytes)])).toEqual([true]);
    expect(await session.addBytes(bytes, () => true)).toBe(digestOf(bytes));
    expect(await session.missing([digestOf(bytes)])).toEqual([false]);
    const refused = { code: 'INPUT_INVALID' };
    await expect(session.addBytes(Buffer.alloc((8 << 20) + 1), () => true)).rejects.toMatchObject(refused);
  });
});

describe('deduplication', () => {
  const bytes = noise(2_000_000, 'shared');

  it('stores a content once, within a session and across sessions', async () => {
    const { manifest } = await commitTree(repository, 's1', { a: bytes, b: bytes });
    const before = await repository.stats();
    await commitTree(repository, 's2', { a: bytes, b: bytes });
    expect((await repository.stats()).storedBytes).toBe(before.storedBytes);
    expect(before.storedBytes).toBeLessThan(bytes.length * 1.01 + 10_000);
    expect(manifest.bytes).toBe(2 * bytes.length);
  });

  it('counts for others only what is durable', async () => {
    const [first, second] = [
      await repository.ingest({ label: '1' }),
      await repository.ingest({ label: '2' }),
    ];
    const content = await first.addStream(streamed(bytes));
    const digests = content.chunks.map((chunk) => chunk.digest);
    expect(await first.missing(digests)).toEqual(digests.map(() => false));
    expect(await second.missing(digests)).toEqual(digests.map(() => true));
    await first.flush();
    expect(await second.missing(digests)).toEqual(digests.map(() => false));
  });

  it('survives two sessions that store the same at once, and the end of one of them', async () => {
    const [first, second] = [
      await repository.ingest({ label: '1' }),
      await repository.ingest({ label: '2' }),
    ];
    const [one, two] = await Promise.all([storeTree(first, { a: bytes }), storeTree(second, { a: bytes })]);
    await first.close();
    await second.flush();
    await repository.commitSnapshot(snapshotOf('s', two));
    expect(one).toEqual(two);
    expect(await readTree(repository, two)).toEqual(digestsOf({ a: bytes }));
  });

  it('takes many offers of one chunk at once as one', async () => {
    const session = await repository.ingest({ label: 'same' });
    const chunk = noise(500_000, 'one');
    await Promise.all(Array.from({ length: 6 }, () => session.addChunk(digestOf(chunk), chunk)));
    await session.flush();
    expect(session.storedBytes).toBeLessThan(600_000);
  });
});

describe('commits', () => {
  it('refuse an image whose contents are not stored', async () => {
    const session = await repository.ingest({ label: 'dangling' });
    const nowhere = fileEntry('a', await refOf(Buffer.from('never stored')));
    const manifest = await session.writeManifest([nowhere]);
    await session.flush();
    const commit = repository.commitSnapshot(snapshotOf('s1', manifest));
    await expect(commit).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(await repository.listSnapshots('web-1')).toEqual([]);
  });

  it('refuse an image that lists a stored chunk with another length', async () => {
    const session = await repository.ingest({ label: 'lying' });
    const chunk = noise(300_000, 'told as shorter');
    await session.addChunk(digestOf(chunk), chunk);
    const content = { digest: digestOf(chunk), bytes: 299_999 };
    const manifest = await session.writeManifest([fileEntry('a', { ...content, chunks: [{ ...content }] })]);
    await session.flush();
    const commit = repository.commitSnapshot(snapshotOf('s1', manifest));
    await expect(commit).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(await repository.listSnapshots('web-1')).toEqual([]);
  });

  it('flush the session that holds the image', async () => {
    const session = await repository.ingest({ label: 'unflushed' });
    const manifest = await storeTree(session, files);
    await repository.commitSnapshot(snapshotOf('s1', manifest));
    await session.close();
    expect(await readTree(repository, manifest)).toEqual(digestsOf(files));
  });

  it('of a closed session’s image are refused', async () => {
    const session = await repository.ingest({ label: 'closed' });
    const manifest = await storeTree(session, { a: Buffer.from('small') });
    await session.close();
    await expect(session.flush()).rejects.toMatchObject({ code: 'CONFLICT' });
    const commit = repository.commitSnapshot(snapshotOf('s1', manifest));
    await expect(commit).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('can be repeated with another pin, listed and removed', async () => {
    const first = await commitTree(repository, 's1', { a: Buffer.from('1') });
    const second = await commitTree(repository, 's2', { a: Buffer.from('2') });
    await repository.commitSnapshot({ ...first, pinned: true });
    expect(await repository.listSnapshots('web-1')).toEqual([{ ...first, pinned: true }, second]);
    await repository.removeSnapshot('web-1', 's1');
    expect(await repository.getSnapshot('web-1', 's1')).toBeUndefined();
    expect(await repository.listSnapshots('web-1')).toEqual([second]);
    expect(await repository.listSnapshots('web')).toEqual([]);
  });

  it('of masters are listed by name and number', async () => {
    const { manifest } = await commitTree(repository, 's1', { a: Buffer.from('1') });
    const master = (name: string, version: number): Master => ({
      name,
      version,
      kind: 'tree',
      arch: 'x86_64',
      manifest,
      importedAt: '2026-11-22T12:00:00.000Z',
      source: 'test',
    });
    for (const [name, version] of [
      ['web', 10],
      ['web', 2],
      ['db', 1],
    ] as const) {
      await repository.commitMaster(master(name, version));
    }
    const listed = async () => (await repository.listMasters()).map((one) => `${one.name}@${one.version}`);
    expect(await listed()).toEqual(['db@1', 'web@2', 'web@10']);
    await repository.removeMaster('web', 2);
    expect(await listed()).toEqual(['db@1', 'web@10']);
  });

  it('keep other records, and refuse names that would leave their place', async () => {
    await repository.putRecord('server', 'web-1', { name: 'web-1', list: [1, { deep: null }] });
    await repository.putRecord('server', 'db-1', 'text');
    expect(await repository.getRecord('server', 'web-1')).toEqual({
      name: 'web-1',
      list: [1, { deep: null }],
    });
    expect(await repository.listRecords('server')).toEqual([
      { id: 'db-1', value: 'text' },
      { id: 'web-1', value: { name: 'web-1', list: [1, { deep: null }] } },
    ]);
    await repository.removeRecord('server', 'db-1');
    expect(await repository.getRecord('server', 'db-1')).toBeUndefined();
    for (const id of ['..', '../x', 'a/b', '', 'Ä']) {
      await expect(repository.putRecord('server', id, 1)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    }
  });
});

describe('opening', () => {
  it('is refused while another appliance holds the store', async () => {
    await expect(world.open()).rejects.toMatchObject({ code: 'STATE_LOCKED' });
    await repository.close();
    await (await world.open()).close();
  });

  it('is refused when a newer Overdub wrote the repository, and frees the lock then', async () => {
    await repository.close();
    const store = new MemoryBlobStore(world.blobs);
    const format = JSON.parse(Buffer.from(await store.get('format.json')).toString());
    await store.put('format.json', Buffer.from(JSON.stringify({ ...format, version: format.version + 1 })));
    await expect(world.open()).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(world.blobs.holder).toBeUndefined();
  });

  it('is refused when the format is lost or is not one', async () => {
    await commitTree(repository, 's1', { a: Buffer.from('1') });
    await repository.close();
    world.blobs.blobs.set('format.json', Buffer.from('{"format":"something else","version":1}'));
    await expect(world.open()).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    world.blobs.blobs.delete('format.json');
    await expect(world.open()).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
  });
});

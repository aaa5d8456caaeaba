import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Repository } from '../../contracts/repository.ts';
import { digestOf } from '../../domain/content-ref.ts';
import type { Digest, ManifestRef } from '../../domain/manifest.ts';
import { type Command, copies, encoded } from '../../testing/fakes/copies-codec.ts';
import { MemoryBlobStore } from '../../testing/fakes/memory-blob-store.ts';
import { ChunkIndex } from '../chunk-index/chunk-index.ts';
import {
  damageStored,
  eagerClock,
  fileEntry,
  makeWorld,
  noise,
  readTree,
  silentLog,
  snapshotOf,
  type World,
} from '../fixture.ts';
import { type DeltaForm, encodeHeader, encodeTail, HEADER_BYTES } from '../packs/pack-format.ts';
import { PortableStore } from '../store/portable-store.ts';
import { ChunkReader } from './chunk-reader.ts';

/** Frames of whole chunks are larger than 2 MiB then, as those of a table are. */
const BYTES = 700_000;
const CHUNKS = 5;
const PAGE = 7_000;
const TURNS = 30;

class CountingStore extends MemoryBlobStore {
  bytesRead = 0;

  override async get(name: string, range?: { offset: number; length: number }): Promise<Uint8Array> {
    const bytes = await super.get(name, range);
    this.bytesRead += bytes.length;
    return bytes;
  }
}

describe('a table of several chunks after many snapshots', () => {
  let world: World;
  let repository: Repository;
  let store: CountingStore;
  let chunks: Buffer[];
  let manifest: ManifestRef;

  beforeEach(async () => {
    world = await makeWorld();
    await reopen();
    chunks = Array.from({ length: CHUNKS }, (_, nth) => noise(BYTES, `chunk ${nth}`));
    await commit(
      0,
      chunks.map(() => undefined),
    );
    for (let turn = 1; turn <= TURNS; turn++) {
      // The third changes less often than its neighbours, and lies on other groups.
      await commit(
        turn,
        chunks.map((_, nth) => (nth === 2 && turn % 3 > 0 ? undefined : (turn * 2) % 100)),
      );
    }
    await repository.close();
    world.crash();
    await reopen();
  });
  afterEach(async () => {
    await world.cleanUp();
  });

  async function reopen(): Promise<void> {
    store = new CountingStore(world.blobs);
    repository = await world.open({ codecs: [copies], store });
  }

  /** A snapshot in which of each chunk one page is another: the one at this place. */
  async function commit(turn: number, pages: readonly (number | undefined)[]): Promise<void> {
    const session = await repository.ingest({ label: `${turn}` });
    for (const [nth, page] of pages.entries()) {
      const before = chunks[nth] as Buffer;
      if (turn === 0) await session.addChunk(digestOf(before), before);
      if (page === undefined) continue;
      const [at, bytes] = [page * PAGE, noise(PAGE, `${turn} ${nth}`)];
      const now = Buffer.concat([before.subarray(0, at), bytes, before.subarray(at + PAGE)]);
      const commands = [[0, at], bytes.toString('base64'), [at + PAGE, BYTES - at - PAGE]] as Command[];
      const payload = encoded(commands.filter((command) => typeof command === 'string' || command[1] > 0));
      const bases = [{ digest: digestOf(before), at: 0, bytes: BYTES }];
      const made = { codec: 'copies', formatVersion: 1, payload, shared: false, bases };
      await session.addBytes(now, () => true, { made });
      chunks[nth] = now;
    }
    const list = chunks.map((chunk) => ({ digest: digestOf(chunk), bytes: BYTES }));
    const content = { digest: digestOf(Buffer.concat(chunks)), bytes: BYTES * CHUNKS, chunks: list };
    manifest = await session.writeManifest([fileEntry('table', content)]);
    await session.flush();
    await repository.commitSnapshot(snapshotOf(`s${turn}`, manifest));
    await session.close();
  }

  const read = (nth: number) => repository.readChunk(digestOf(chunks[nth] as Buffer));

  it('is read once: what never changed, and the deltas', async () => {
    const { byForm } = await repository.stats();
    const deltas = byForm.copies?.storedBytes ?? Number.NaN;
    const before = store.bytesRead;
    expect(await readTree(repository, manifest)).toEqual({ table: digestOf(Buffer.concat(chunks)) });
    const bytes = store.bytesRead - before;
    expect(bytes).toBeLessThan(1.05 * (BYTES * CHUNKS + deltas));
  });

  it('is read in parts: of one chunk its own deltas, and not the groups that they lie in', async () => {
    const before = store.bytesRead;
    expect(Buffer.from(await read(2)).equals(chunks[2] as Buffer)).toBe(true);
    const deltas = (TURNS / 3) * PAGE * 1.4;
    expect(store.bytesRead - before).toBeLessThan(BYTES + deltas);
  });

  it('is read right by many at a time, whatever of it is kept and let go meanwhile', async () => {
    const asked = Array.from({ length: 12 }, (_, nth) => nth % CHUNKS);
    const read = asked.map(async (nth) => repository.readUncompared(digestOf(chunks[nth] as Buffer)));
    for (const [at, bytes] of (await Promise.all(read)).entries())
      expect(Buffer.from(bytes).equals(chunks[asked[at] as number] as Buffer)).toBe(true);
  });

  const code = (reading: Promise<unknown>) =>
    reading.then(
      () => 'none',
      (error: { code?: string }) => error.code,
    );

  it('names the damaged base where the damage is in what is needed of it', async () => {
    const original = noise(BYTES, 'chunk 1');
    damageStored(world.blobs, original, BYTES - 1);
    const failure = await read(1).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    expect(String(failure)).toContain(digestOf(original));
    expect(await read(0)).toHaveLength(BYTES);
  });

  it('is read in spite of damage where nothing of a base is needed any more', async () => {
    const original = noise(BYTES, 'chunk 1');
    damageStored(world.blobs, original, 50 * PAGE);
    await expect(code(repository.readChunk(digestOf(original)))).resolves.toBe('REPOSITORY_DAMAGED');
    expect(Buffer.from(await read(1)).equals(chunks[1] as Buffer)).toBe(true);
  });

  it('says that a delta below is damaged', async () => {
    damageStored(world.blobs, noise(PAGE, `${TURNS - 1} 1`), 10);
    await expect(code(read(1))).resolves.toBe('REPOSITORY_DAMAGED');
    expect(await read(0)).toHaveLength(BYTES);
  });
});

describe('a delta of deltas that the open session holds', () => {
  let world: World;
  let index: ChunkIndex;
  beforeEach(async () => {
    world = await makeWorld();
    index = new ChunkIndex(join(world.stateDir, 'pending.db'));
  });
  afterEach(async () => {
    index.close();
    await world.cleanUp();
  });

  it('is put together also where the pack of one of them is stored and freed meanwhile', async () => {
    const store = new MemoryBlobStore();
    const portable = new PortableStore(store, { clock: eagerClock, log: silentLog });
    const reader = new ChunkReader({ store: portable, index, codecs: [copies], stateDir: world.stateDir });
    const named = (name: string) => digestOf(Buffer.from(name));
    const [bottom, upper, lower] = [named('bottom'), named('upper'), named('lower')];
    const form = (depth: number, ...bases: Digest[]): DeltaForm => {
      const places = bases.map((_, at) => ({ at: 10 * at, bytes: 10 }));
      return { codec: 'copies', formatVersion: 1, depth, bases, places };
    };
    const payload = encoded([[0, 10]]);
    const forms = new Map([
      [lower, form(1, bottom)],
      [upper, form(2, bottom)],
    ]);
    const chunkOf = (digest: Digest) => {
      const delta = forms.get(digest);
      return delta && { bytes: 10, payloadBytes: payload.length, delta };
    };
    /** What the session does with its oldest pack. */
    const send = async () => {
      const place = { offset: HEADER_BYTES, storedBytes: payload.length, rawBytes: payload.length } as const;
      const chunk = { ...(chunkOf(lower) as { bytes: number; payloadBytes: number }), at: 0 };
      const frame = { ...place, encoding: 'raw', chunks: [{ ...chunk, digest: lower }] } as const;
      const pack = Buffer.concat([encodeHeader(), payload, encodeTail([frame])]);
      await store.put('packs/00/sent.pack', pack);
      index.addPack('packs/00/sent.pack', pack.length, [frame]);
      forms.delete(lower);
    };
    const payloads = async (digest: Digest) => {
      if (!forms.has(digest)) throw new Error('it was freed');
      if (forms.has(lower)) await send();
      return payload;
    };
    const find = (digest: Digest) => {
      const chunk = chunkOf(digest);
      return chunk && { ...chunk, payload: () => payloads(digest) };
    };
    const delta = form(3, upper, lower);
    const link = { bytes: 20, delta, payload: async () => encoded([[0, 20]]) };
    const wanted = await reader.chains.wanted(link, { find });
    expect(
      [...wanted].map(([base, parts]) => [base, parts.reduce((sum, { length }) => sum + length, 0)]),
    ).toEqual([[bottom, 20]]);
    await reader.close();
  });
});

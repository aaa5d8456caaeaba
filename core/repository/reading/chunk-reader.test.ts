import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DeltaCodec } from '../../contracts/delta-codec.ts';
import { digestOf } from '../../domain/content-ref.ts';
import type { Digest } from '../../domain/manifest.ts';
import { copies, encoded } from '../../testing/fakes/copies-codec.ts';
import { MemoryBlobStore } from '../../testing/fakes/memory-blob-store.ts';
import { ChunkIndex } from '../chunk-index/chunk-index.ts';
import { eagerClock, makeWorld, noise, silentLog, type World } from '../fixture.ts';
import {
  type DeltaForm,
  encodeHeader,
  encodeTail,
  HEADER_BYTES,
  type PackedFrame,
} from '../packs/pack-format.ts';
import { PortableStore } from '../store/portable-store.ts';
import { ChunkReader } from './chunk-reader.ts';

const BYTES = 10;
const PLACES = [{ at: 0, bytes: BYTES }];
const same: DeltaCodec = { ...copies, name: 'same', decode: (base) => Promise.resolve(base) };

/** No writer of ours makes such a pack. */
describe('deltas of a pack that was tampered with', () => {
  const [a, b] = [digestOf(Buffer.from('a')), digestOf(Buffer.from('b'))];
  const payload = encoded([[0, BYTES]]);
  let world: World;
  let index: ChunkIndex;
  beforeEach(async () => {
    world = await makeWorld();
    index = new ChunkIndex(join(world.stateDir, 'circle.db'));
  });
  afterEach(async () => {
    index.close();
    await world.cleanUp();
  });

  /** Two chunks, each made from the other. */
  async function readerOf(form: (base: Digest) => DeltaForm): Promise<ChunkReader> {
    const chunkOf = (digest: Digest, base: Digest, at: number) => ({
      digest,
      bytes: BYTES,
      at,
      payloadBytes: payload.length,
      delta: form(base),
    });
    const bytes = 2 * payload.length;
    const place = { offset: HEADER_BYTES, storedBytes: bytes, rawBytes: bytes, encoding: 'raw' } as const;
    const frame: PackedFrame = { ...place, chunks: [chunkOf(a, b, 0), chunkOf(b, a, payload.length)] };
    const pack = Buffer.concat([encodeHeader(), payload, payload, encodeTail([frame])]);
    const store = new MemoryBlobStore();
    await store.put('packs/00/circle.pack', pack);
    index.addPack('packs/00/circle.pack', pack.length, [frame]);
    const portable = new PortableStore(store, { clock: eagerClock, log: silentLog });
    return new ChunkReader({ store: portable, index, codecs: [copies, same], stateDir: world.stateDir });
  }

  const forms: Readonly<Record<string, (base: Digest) => DeltaForm>> = {
    'one after another': (base) => ({ codec: 'same', formatVersion: 1, depth: 1, bases: [base] }),
    placed: (base) => ({ codec: 'copies', formatVersion: 1, depth: 1, bases: [base], places: PLACES }),
    deep: (base) => ({ codec: 'copies', formatVersion: 1, depth: 3, bases: [base], places: PLACES }),
  };
  it.each(Object.entries(forms))(
    'are damage where they go in a circle, and nobody waits for them: %s',
    { timeout: 5000 },
    async (_, form) => {
      const reader = await readerOf(form);
      await expect(reader.read(a)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
      await expect(reader.read(b)).rejects.toThrow('go in a circle');
      await reader.close();
    },
  );

  it('are damage where they go in a circle that somebody comes to from outside', {
    timeout: 5000,
  }, async () => {
    const reader = await readerOf(forms.placed as (typeof forms)[string]);
    const c = digestOf(Buffer.from('c'));
    const delta = (forms.placed as (typeof forms)[string])(a);
    const chunk = { bytes: BYTES, delta };
    await expect(reader.verify(c, 'packs/00/circle.pack', chunk, payload)).rejects.toMatchObject({
      code: 'REPOSITORY_DAMAGED',
    });
    await reader.close();
  });

  it('name the base that is damaged, also where it was read before by who compares for himself', async () => {
    const [right, wrong] = [Buffer.from('0123456789'), Buffer.from('0123x56789')];
    const [base, made] = [digestOf(right), digestOf(right.subarray(0, 5))];
    const bytes = BYTES + payload.length;
    const place = { offset: HEADER_BYTES, storedBytes: bytes, rawBytes: bytes, encoding: 'raw' } as const;
    const delta: DeltaForm = { codec: 'begin', formatVersion: 1, depth: 1, bases: [base] };
    const begin: DeltaCodec = { ...copies, name: 'begin', decode: async (whole) => whole.slice(0, 5) };
    const chunks = [
      { digest: base, bytes: BYTES, at: 0, payloadBytes: BYTES },
      { digest: made, bytes: 5, at: BYTES, payloadBytes: payload.length, delta },
    ];
    const frame: PackedFrame = { ...place, chunks };
    const store = new MemoryBlobStore();
    const name = 'packs/00/base.pack';
    await store.put(name, Buffer.concat([encodeHeader(), wrong, payload, encodeTail([frame])]));
    index.addPack(name, bytes, [frame]);
    const portable = new PortableStore(store, { clock: eagerClock, log: silentLog });
    const parts = { store: portable, index, codecs: [begin], stateDir: world.stateDir };
    const reader = new ChunkReader(parts);
    expect(Buffer.from(await reader.readUncompared(made)).toString()).toBe('0123x');
    expect(index.suspects.all()).toEqual([]);
    await expect(reader.read(made)).rejects.toThrow(`Chunk ${base} in ${name} is damaged`);
    expect(index.suspects.all().sort()).toEqual([base, made].sort());
    await reader.close();
  });

  it('are healed by who stores the chunk, also where they are listed with another length', () => {
    const bytes = noise(20, 'healed');
    const digest = digestOf(bytes);
    const place = { offset: HEADER_BYTES, encoding: 'raw' } as const;
    const delta: DeltaForm = { codec: 'same', formatVersion: 1, depth: 1, bases: [a] };
    const wrong = { digest, bytes: 19, at: 0, payloadBytes: 5, delta };
    const right = { digest, bytes: 20, at: 0, payloadBytes: 20 };
    index.addPack('packs/00/wrong.pack', 100, [{ ...place, storedBytes: 5, rawBytes: 5, chunks: [wrong] }]);
    index.suspects.mark(digest);
    index.addPack('packs/00/right.pack', 100, [{ ...place, storedBytes: 20, rawBytes: 20, chunks: [right] }]);
    expect(index.find(digest)).toMatchObject({ bytes: 20, payloadBytes: 20 });
    expect(index.standing(digest, 20)).toBe('stored');
  });
});

describe('a base that is laid out in a file', () => {
  it('is the session’s where the session came to hold it while its pack was collected: it is not freed', async () => {
    const world = await makeWorld();
    const index = new ChunkIndex(join(world.stateDir, 'collected.db'));
    const held = new Uint8Array(300_000).fill(7);
    const [base, made] = [digestOf(held), digestOf(held.subarray(0, BYTES))];
    const place = {
      offset: HEADER_BYTES,
      storedBytes: held.length,
      rawBytes: held.length,
      encoding: 'raw',
    } as const;
    const stored = { digest: base, bytes: held.length, at: 0, payloadBytes: held.length };
    index.addPack('packs/00/old.pack', 400_000, [{ ...place, chunks: [stored] }]);
    const store = new MemoryBlobStore();
    let isCollected = false;
    store.get = async (name) => {
      index.forgetPack(name);
      isCollected = true;
      throw new Error('collected');
    };
    const places = [{ at: 0, bytes: held.length }];
    const delta: DeltaForm = { codec: 'copies', formatVersion: 1, depth: 1, bases: [base], places };
    const payload = encoded([[0, BYTES]]);
    const pending = {
      find: (digest: Digest) => {
        if (digest === made)
          return { bytes: BYTES, payloadBytes: payload.length, delta, payload: async () => payload };
        if (!isCollected) return undefined;
        return { bytes: held.length, payloadBytes: held.length, payload: async () => held };
      },
    };
    const portable = new PortableStore(store, { clock: eagerClock, log: silentLog });
    const parts = { store: portable, index, codecs: [copies], stateDir: world.stateDir };
    const reader = new ChunkReader(parts);
    expect(Buffer.from(held.subarray(0, BYTES)).equals(await reader.read(made, pending))).toBe(true);
    expect(held.length).toBe(300_000);
    await reader.close();
    index.close();
    await world.cleanUp();
  });
});

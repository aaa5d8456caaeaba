/** Many deltas on one base that cannot be read: what is said of them, and how often the base is read. */

import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DeltaCodec } from '../../contracts/delta-codec.ts';
import { digestOf } from '../../domain/content-ref.ts';
import { OverdubError } from '../../errors.ts';
import { copies, encoded, partsOf } from '../../testing/fakes/copies-codec.ts';
import { FaultyBlobStore } from '../../testing/fakes/faulty-blob-store.ts';
import { MemoryBlobStore } from '../../testing/fakes/memory-blob-store.ts';
import { ChunkIndex } from '../chunk-index/chunk-index.ts';
import { eagerClock, makeWorld, noise, silentLog, type World } from '../fixture.ts';
import {
  type DeltaForm,
  encodeHeader,
  encodeTail,
  HEADER_BYTES,
  type PackedChunk,
  type PackedFrame,
} from '../packs/pack-format.ts';
import { compress } from '../packs/zstd.ts';
import { PortableStore } from '../store/portable-store.ts';
import { ChunkReader } from './chunk-reader.ts';

const BASES = 'packs/00/bases.pack';
const TOPS = 'packs/00/tops.pack';
/** What the storage is asked before it counts as refusing. */
const TRIES = 4;

const base = noise(1000, 'base');
const neighbour = noise(20_000, 'neighbour');
const tops = Array.from({ length: 50 }, (_, at) => Buffer.concat([base.subarray(0, 500), noise(10, at)]));

/** Deltas whose bases are joined in memory. */
const joined: DeltaCodec = {
  ...copies,
  name: 'joined',
  decode: async (bytes, delta) =>
    Buffer.concat(
      partsOf(delta).map((part) =>
        part.kind === 'literal' ? part.bytes : bytes.subarray(part.offset, part.offset + part.length),
      ),
    ),
};

const plain = { formatVersion: 1, depth: 1, bases: [digestOf(base)] };
const forms: [string, DeltaForm][] = [
  ['joined', { ...plain, codec: 'joined' }],
  ['laid out in a file', { ...plain, codec: 'copies', places: [{ at: 0, bytes: base.length }] }],
];

let world: World;
let index: ChunkIndex;
let store: FaultyBlobStore;
let portable: PortableStore;
let reader: ChunkReader;

beforeEach(async () => {
  world = await makeWorld();
  index = new ChunkIndex(join(world.stateDir, 'bad-base.db'));
  store = new FaultyBlobStore(new MemoryBlobStore());
  portable = new PortableStore(store, { clock: eagerClock, log: silentLog });
  const parts = { store: portable, index, codecs: [copies, joined], stateDir: world.stateDir };
  reader = new ChunkReader(parts);
});
afterEach(async () => {
  await reader.close();
  index.close();
  await world.cleanUp();
});

/** A pack of one frame. `stored`: its bytes as they lie there. Returns its length. */
async function put(
  name: string,
  frame: Pick<PackedFrame, 'encoding' | 'chunks'>,
  stored: Uint8Array,
): Promise<number> {
  const rawBytes = frame.chunks.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0);
  const packed = { ...frame, offset: HEADER_BYTES, storedBytes: stored.length, rawBytes };
  const pack = Buffer.concat([encodeHeader(), stored, encodeTail([packed])]);
  await store.put(name, pack);
  index.addPack(name, pack.length, [packed]);
  return pack.length;
}

/** The base and its neighbour in a compressed frame, of whose bytes `harm` makes others. */
async function putBases(harm: (raw: Uint8Array) => Promise<Uint8Array>): Promise<number> {
  const chunks: PackedChunk[] = [
    { digest: digestOf(base), bytes: base.length, at: 0, payloadBytes: base.length },
    { digest: digestOf(neighbour), bytes: neighbour.length, at: base.length, payloadBytes: neighbour.length },
  ];
  return put(BASES, { encoding: 'zstd', chunks }, await harm(Buffer.concat([base, neighbour])));
}

/** Fifty deltas, in one frame. */
async function putTops(delta: DeltaForm): Promise<number> {
  const payloads = tops.map((top) => encoded([[0, 500], top.subarray(500).toString('base64')]));
  let at = 0;
  const chunks = tops.map((top, nth): PackedChunk => {
    const payloadBytes = (payloads[nth] as Buffer).length;
    at += payloadBytes;
    return { digest: digestOf(top), bytes: top.length, at: at - payloadBytes, payloadBytes, delta };
  });
  return put(TOPS, { encoding: 'raw', chunks }, Buffer.concat(payloads));
}

const top = digestOf(tops[0] as Buffer);

it.each(['DELTA_INVALID', 'DELTA_TOO_LARGE'] as const)(
  'a delta that its codec refuses with %s is damaged',
  async (code) => {
    const refuse = () => Promise.reject(new OverdubError(code, 'No.', 'Nothing.'));
    const codecs: DeltaCodec[] = [{ ...joined, decode: refuse }];
    const refusing = new ChunkReader({ store: portable, index, codecs, stateDir: world.stateDir });
    await putBases(compress);
    await putTops({ ...plain, codec: 'joined' });
    await expect(refusing.read(top)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    expect(index.suspects.all()).toEqual([top]);
    await refusing.close();
  },
);

describe.each(forms)('deltas on a base that the storage refuses: %s', (_, delta) => {
  beforeEach(async () => {
    await putBases(compress);
    await putTops(delta);
  });

  it.each([
    ['a restore', () => reader],
    ['upkeep', () => reader.frugal()],
  ])('are not taken for damaged by %s, which hears of the storage', async (__, choose) => {
    let reads = 0;
    store.fault = ({ operation, name }) => {
      if (operation !== 'get' || name !== BASES) return;
      reads += 1;
      throw Object.assign(new Error('I/O error'), { code: 'EIO' });
    };
    const chosen = choose();
    await expect(chosen.read(top)).rejects.toMatchObject({ code: 'PLUGIN_FAILED' });
    expect(reads).toBe(TRIES);
    expect(index.suspects.all()).toEqual([]);
    store.fault = () => undefined;
    expect(Buffer.from(await chosen.read(top)).equals(tops[0] as Buffer)).toBe(true);
    await chosen.close();
  });
});

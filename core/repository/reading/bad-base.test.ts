/** Many deltas on one base that cannot be read: what is said of them, and how often the base is read. */

import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DeltaCodec } from '../../contracts/delta-codec.ts';
import { digestOf } from '../../domain/content-ref.ts';
import { OverdubError } from '../../errors.ts';
import { copies, encoded, joined } from '../../testing/fakes/copies-codec.ts';
import { FaultyBlobStore } from '../../testing/fakes/faulty-blob-store.ts';
import { MemoryBlobStore } from '../../testing/fakes/memory-blob-store.ts';
import { OnceWrongStore } from '../../testing/fakes/once-wrong-store.ts';
import { ChunkIndex } from '../chunk-index/chunk-index.ts';
import { eagerClock, makeWorld, noise, silentLog, type World } from '../fixture.ts';
import { compress } from '../packs/frame-encoding.ts';
import {
  type DeltaForm,
  encodeHeader,
  encodeTail,
  HEADER_BYTES,
  type PackedChunk,
  type PackedFrame,
} from '../packs/pack-format.ts';
import { PortableStore } from '../store/portable-store.ts';
import { checkPackData, recheckSuspects } from '../upkeep/pack-check.ts';
import { ChunkReader } from './chunk-reader.ts';

const BASES = 'packs/00/bases.pack';
const TOPS = 'packs/00/tops.pack';
/** What the storage is asked before it counts as refusing. */
const TRIES = 4;

const base = noise(1000, 'base');
const neighbour = noise(20_000, 'neighbour');
const tops = Array.from({ length: 50 }, (_, at) => Buffer.concat([base.subarray(0, 500), noise(10, at)]));

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

describe.each(forms)('fifty deltas on a base that is damaged: %s', (_, delta) => {
  const wrongBytes = (raw: Uint8Array) => compress(raw.map((byte, nth) => (nth === 5 ? byte ^ 1 : byte)));
  const wrongFrame = async (raw: Uint8Array) =>
    (await compress(raw)).map((byte, nth) => (nth === 5 ? byte ^ 1 : byte));

  it.each([
    // What decompresses is kept by who reads first, and read anew for each delta.
    ['whose bytes are wrong', tops.length + 1, wrongBytes],
    ['whose frame does not decompress', 2 * tops.length, wrongFrame],
  ])('read its frame twice each at most when they are checked: one %s', async (__, most, harm) => {
    const basesBytes = await putBases(harm);
    const topsBytes = await putTops(delta);
    const reads = new Map<string, number>();
    store.fault = ({ operation, name }) => {
      if (operation === 'get') reads.set(name, (reads.get(name) ?? 0) + 1);
    };
    const upkeep = reader.frugal();
    const parts = { store: portable, index, reader: upkeep, failures: { count: 0 } };
    const found = await checkPackData(parts, TOPS, topsBytes);
    expect(found.why).toMatch(new RegExp(`^50 of its chunks are damaged: .*${digestOf(base)}`));
    expect(reads.get(BASES)).toBeLessThanOrEqual(most);
    // Its index, the frame, and the frame once more.
    expect(reads.get(TOPS)).toBe(3);
    await checkPackData(parts, BASES, basesBytes);
    reads.clear();
    await recheckSuspects(parts);
    // The base and its neighbour are read by themselves as well.
    expect(reads.get(BASES)).toBeLessThanOrEqual(most + 2);
    expect(index.standing(digestOf(base))).toBe('suspect');
    expect(index.standing(top)).toBe('suspect');
    await upkeep.close();
  });

  it('read it twice when one is restored', async () => {
    await putBases(wrongFrame);
    await putTops(delta);
    let reads = 0;
    store.fault = ({ operation, name }) => {
      if (operation === 'get' && name === BASES) reads += 1;
    };
    await expect(reader.read(top)).rejects.toThrow('does not decompress');
    expect(reads).toBe(2);
    expect(index.suspects.all().sort()).toEqual([digestOf(base), digestOf(neighbour), top].sort());
  });
});

describe('a delta that is read wrong once', () => {
  it.each(forms)('is not damage, though its bases are sound: %s', async (_, delta) => {
    await putBases(compress);
    const bytes = await putTops(delta);
    const once = new OnceWrongStore({ blobs: new Map() });
    for (const name of [BASES, TOPS]) await once.put(name, await store.get(name));
    // The last byte of the frame is one of the last delta's own. It is read along with the index first, and then comes right.
    const frame = index.find(top)?.frame as { offset: number; storedBytes: number };
    const end = frame.offset + frame.storedBytes;
    const flip = (read: Uint8Array) =>
      read.map((byte, nth) => (nth === frame.storedBytes - 1 ? byte ^ 1 : byte));
    once.wrong = {
      name: TOPS,
      at: end - 1,
      as: (read) => (read.length === frame.storedBytes ? flip(read) : read),
      times: 2,
    };
    const wrongOnce = new PortableStore(once, { clock: eagerClock, log: silentLog });
    const upkeep = new ChunkReader({
      store: wrongOnce,
      index,
      codecs: [copies, joined],
      stateDir: world.stateDir,
    });
    const found = await checkPackData(
      { store: wrongOnce, index, reader: upkeep, failures: { count: 0 } },
      TOPS,
      bytes,
    );
    expect(once.left).toBe(0);
    expect(found.why).toBeUndefined();
    expect(index.suspects.all()).toEqual([]);
    await upkeep.close();
  });
});

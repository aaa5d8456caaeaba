/** What the disk read wrong once: whoever compares gets the right bytes, and nothing of it stays behind. */

import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../domain/content-ref.ts';
import type { Digest } from '../../domain/manifest.ts';
import { copies, encoded, joined } from '../../testing/fakes/copies-codec.ts';
import { OnceWrongStore } from '../../testing/fakes/once-wrong-store.ts';
import { ChunkIndex } from '../chunk-index/chunk-index.ts';
import { eagerClock, makeWorld, noise, prose, silentLog, type World } from '../fixture.ts';
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
import { ChunkReader } from './chunk-reader.ts';

const PACK = 'packs/00/made.pack';
const BYTES = 1000;
const PLACES = [{ at: 0, bytes: BYTES }];

/** A chunk and what is stored of it. */
interface Item {
  readonly digest: Digest;
  readonly bytes: number;
  readonly payload: Uint8Array;
  readonly delta?: DeltaForm;
}

const whole = (bytes: Buffer): Item => ({ digest: digestOf(bytes), bytes: bytes.length, payload: bytes });

let world: World;
let index: ChunkIndex;
let store: OnceWrongStore;
let reader: ChunkReader;

beforeEach(async () => {
  world = await makeWorld();
  index = new ChunkIndex(join(world.stateDir, 'once.db'));
  store = new OnceWrongStore();
  const portable = new PortableStore(store, { clock: eagerClock, log: silentLog });
  const codecs = [copies, joined];
  reader = new ChunkReader({ store: portable, index, codecs, stateDir: world.stateDir });
});
afterEach(async () => {
  await reader.close();
  index.close();
  await world.cleanUp();
});

/** One pack of these frames. Returns where each begins in it. */
async function stored(
  frames: readonly (readonly Item[])[],
  encoding: 'raw' | 'zstd' = 'raw',
  name: string = PACK,
) {
  const parts: Uint8Array[] = [encodeHeader()];
  const packed: PackedFrame[] = [];
  let offset = HEADER_BYTES;
  for (const items of frames) {
    const raw = Buffer.concat(items.map(({ payload }) => payload));
    const kept = encoding === 'raw' ? raw : await compress(raw);
    let at = 0;
    const chunks: PackedChunk[] = [];
    for (const { payload, ...item } of items) {
      chunks.push({ ...item, at, payloadBytes: payload.length });
      at += payload.length;
    }
    packed.push({ offset, storedBytes: kept.length, rawBytes: raw.length, encoding, chunks });
    parts.push(kept);
    offset += kept.length;
  }
  const pack = Buffer.concat([...parts, encodeTail(packed)]);
  await store.put(name, pack);
  index.addPack(name, pack.length, packed);
  return packed.map((frame) => frame.offset);
}

/** The byte at `at` of the pack is another one, once. */
function flip(at: number): void {
  store.wrong = { at, as: (bytes) => bytes.map((byte, nth) => (nth === 0 ? byte ^ 1 : byte)) };
}

const right = async (bytes: Buffer, reading: Promise<Uint8Array>) =>
  expect(Buffer.from(await reading).equals(bytes)).toBe(true);

describe('a base that was read wrong once', () => {
  const base = noise(BYTES, 'base');
  const [first, second] = [base.subarray(0, 500), base.subarray(0, 600)] as [Buffer, Buffer];

  const forms: Readonly<Record<string, DeltaForm>> = {
    joined: { codec: 'joined', formatVersion: 1, depth: 1, bases: [digestOf(base)] },
    'laid out in a file': {
      codec: 'copies',
      formatVersion: 1,
      depth: 1,
      bases: [digestOf(base)],
      places: PLACES,
    },
  };
  /** The beginning of the base, copied. */
  const made = (bytes: Buffer, delta: DeltaForm): Item => ({
    digest: digestOf(bytes),
    bytes: bytes.length,
    payload: encoded([[0, bytes.length]]),
    delta,
  });

  it.each(Object.entries(forms))('neither stays nor is named: %s', async (_, delta) => {
    const [at] = (await stored([[whole(base)], [made(first, delta), made(second, delta)]])) as [
      number,
      number,
    ];
    flip(at);
    expect(Buffer.from(await reader.readUncompared(digestOf(first))).equals(first)).toBe(false);
    await right(first, reader.read(digestOf(first)));
    expect(index.suspects.all()).toEqual([]);
    await right(second, reader.readUncompared(digestOf(second)));
  });

  it('neither stays nor is named where it lies in a frame with others', async () => {
    const delta = forms['laid out in a file'] as DeltaForm;
    const neighbour = whole(prose(5000, 'neighbour'));
    const [at] = (await stored([
      [whole(base), neighbour],
      [made(first, delta), made(second, delta)],
    ])) as [number];
    flip(at);
    expect(Buffer.from(await reader.readUncompared(digestOf(first))).equals(first)).toBe(false);
    await right(first, reader.read(digestOf(first)));
    expect(index.suspects.all()).toEqual([]);
    await right(second, reader.readUncompared(digestOf(second)));
  });

  it.each([
    ['restores', () => reader],
    ['upkeep', () => reader.frugal()],
  ])('is still named where it is read wrong again: for %s', async (_, choose) => {
    const delta = forms.joined as DeltaForm;
    const payload = encoded([[0, 500]]);
    const item = { digest: digestOf(first), bytes: 500, payload, delta };
    const wrong = { ...whole(base), payload: noise(BYTES, 'wrong') };
    await stored([[wrong], [item]]);
    const chosen = choose();
    await expect(chosen.read(digestOf(first))).rejects.toThrow(digestOf(base));
    await chosen.close();
    expect(index.suspects.all().sort()).toEqual([digestOf(base), digestOf(first)].sort());
  });
});

describe('a delta below others that was read wrong once', () => {
  it('neither stays nor is named', async () => {
    const base = noise(BYTES, 'base');
    const literal = noise(100, 'literal');
    const lower = Buffer.concat([literal, base.subarray(100)]);
    const [first, second] = [lower.subarray(0, 500), lower.subarray(0, 600)] as [Buffer, Buffer];
    const form = (depth: number, on: Buffer): DeltaForm => ({
      codec: 'copies',
      formatVersion: 1,
      depth,
      bases: [digestOf(on)],
      places: PLACES,
    });
    const made = (bytes: Buffer, payload: Buffer, delta: DeltaForm): Item => ({
      digest: digestOf(bytes),
      bytes: bytes.length,
      payload,
      delta,
    });
    const link = encoded([literal.toString('base64'), [100, BYTES - 100]]);
    const [, at] = (await stored([
      [whole(base)],
      [made(lower, link, form(3, base)), whole(noise(50, 'neighbour'))],
      [made(first, encoded([[0, 500]]), form(4, lower)), made(second, encoded([[0, 600]]), form(4, lower))],
    ])) as [number, number, number];
    // Behind the commands of the delta its own bytes begin.
    const literalAt = at + link.length - 100;
    store.wrong = {
      at: literalAt,
      as: (bytes) => {
        const found = Buffer.from(bytes).indexOf(literal);
        return bytes.map((byte, nth) => (nth === found ? byte ^ 1 : byte));
      },
    };
    expect(Buffer.from(await reader.readUncompared(digestOf(first))).equals(first)).toBe(false);
    await right(first, reader.read(digestOf(first)));
    expect(index.suspects.all()).toEqual([]);
    await right(second, reader.readUncompared(digestOf(second)));
  });
});

describe('a frame that was read wrong once', () => {
  const [first, second] = [prose(5000, 'first'), prose(5000, 'second')];
  const both = [whole(first), whole(second)];

  it('does not stay', async () => {
    const [at] = (await stored([both])) as [number];
    flip(at);
    expect(Buffer.from(await reader.readUncompared(digestOf(first))).equals(first)).toBe(false);
    await right(first, reader.read(digestOf(first)));
    expect(index.suspects.all()).toEqual([]);
    await right(first, reader.readUncompared(digestOf(first)));
  });

  it.each([
    ['does not decompress', (bytes: Uint8Array) => new Uint8Array(bytes.length)],
    ['is cut off', (bytes: Uint8Array) => bytes.subarray(1)],
  ])('comes right also to who does not compare, and no chunk of it is named: it %s', async (_, as) => {
    const [at] = (await stored([both], 'zstd')) as [number];
    store.wrong = { at, as };
    await right(first, reader.readUncompared(digestOf(first)));
    expect(store.left).toBe(0);
    expect(index.suspects.all()).toEqual([]);
    await right(second, reader.readUncompared(digestOf(second)));
  });

  it('is no longer suspect when a reading that failed earlier comes right', async () => {
    const [at] = (await stored([both])) as [number];
    index.suspects.mark(digestOf(first));
    flip(at);
    await right(first, reader.read(digestOf(first)));
    expect(index.suspects.all()).toEqual([]);
  });

  it('stays suspect when the second reading was answered by an open session, which then heals it', async () => {
    const wrong = { ...whole(first), payload: prose(5000, 'wrong') };
    await stored([[wrong]]);
    index.suspects.mark(digestOf(first));
    const held = { bytes: first.length, payloadBytes: first.length, payload: async () => first };
    let isOffered = false;
    const session = { find: () => (isOffered ? held : undefined) };
    // The session is given the bytes while what is stored is being read.
    store.wrong = {
      at: HEADER_BYTES,
      as: (bytes) => {
        isOffered = true;
        return bytes;
      },
    };
    await right(first, reader.read(digestOf(first), session));
    expect(index.standing(digestOf(first))).toBe('suspect');
    await stored([[whole(first)]], 'raw', 'packs/00/healing.pack');
    await right(first, reader.read(digestOf(first)));
  });

  it('stays suspect when the base of the second reading came from an open session', async () => {
    const base = noise(BYTES, 'base');
    const top = base.subarray(0, 500);
    const delta: DeltaForm = { codec: 'joined', formatVersion: 1, depth: 1, bases: [digestOf(base)] };
    const made = { digest: digestOf(top), bytes: 500, payload: encoded([[0, 500]]), delta };
    await stored([[{ ...whole(base), payload: noise(BYTES, 'wrong') }], [made]]);
    index.suspects.mark(digestOf(top));
    const held = { bytes: BYTES, payloadBytes: BYTES, payload: async () => base };
    let isOffered = false;
    const session = {
      find: (digest: Digest) => (isOffered && digest === digestOf(base) ? held : undefined),
    };
    store.wrong = {
      at: HEADER_BYTES,
      as: (bytes) => {
        isOffered = true;
        return bytes;
      },
    };
    await right(top, reader.read(digestOf(top), session));
    expect(index.suspects.all()).toEqual([digestOf(top)]);
  });
});

describe('upkeep, which compares each base', () => {
  const [first, second] = [prose(5000, 'first'), prose(5000, 'second')];
  let upkeep: ChunkReader;
  beforeEach(() => {
    upkeep = reader.frugal();
  });
  afterEach(() => upkeep.close());

  it('forgets a frame that it read wrong once', async () => {
    const [at] = (await stored([[whole(first), whole(second)]])) as [number];
    flip(at);
    await right(first, upkeep.read(digestOf(first)));
    expect(index.suspects.all()).toEqual([]);
    await right(first, upkeep.read(digestOf(first)));
    expect(store.left).toBe(0);
  });

  it('takes no delta for damaged whose base it read wrong once', async () => {
    const [base, top] = [first.subarray(0, BYTES), first.subarray(0, 500)];
    const delta: DeltaForm = { codec: 'joined', formatVersion: 1, depth: 1, bases: [digestOf(base)] };
    const made = { digest: digestOf(top), bytes: 500, delta };
    const payload = encoded([[0, 500]]);
    const [at] = (await stored([[whole(base), whole(second)], [{ ...made, payload }]])) as [number];
    flip(at);
    await upkeep.verify(digestOf(top), PACK, made, payload);
    expect(store.left).toBe(0);
    expect(index.suspects.all()).toEqual([]);
  });

  it('names the base of a delta that cannot be read, and only it', async () => {
    const [base, top] = [first.subarray(0, BYTES), first.subarray(0, 500)];
    const delta: DeltaForm = { codec: 'joined', formatVersion: 1, depth: 1, bases: [digestOf(base)] };
    const made = { digest: digestOf(top), bytes: 500, delta };
    const payload = encoded([[0, 500]]);
    await stored([[{ ...whole(base), payload: second.subarray(0, BYTES) }], [{ ...made, payload }]]);
    await expect(upkeep.verify(digestOf(top), PACK, made, payload)).rejects.toThrow(digestOf(base));
    expect(index.suspects.all()).toEqual([digestOf(base)]);
  });

  /** A chunk in two deltas over a base that shares its compressed frame, where the pack's first bytes are. */
  async function deep(): Promise<{ top: Buffer; at: number }> {
    const base = first.subarray(0, BYTES);
    const literal = noise(100, 'literal');
    const lower = Buffer.concat([literal, base.subarray(100)]);
    const top = lower.subarray(0, 500);
    const made = (bytes: Buffer, payload: Buffer, depth: number, on: Buffer): Item => ({
      digest: digestOf(bytes),
      bytes: bytes.length,
      payload,
      delta: { codec: 'copies', formatVersion: 1, depth, bases: [digestOf(on)], places: PLACES },
    });
    const link = encoded([literal.toString('base64'), [100, BYTES - 100]]);
    const frames = [
      [whole(base), whole(second)],
      [made(lower, link, 3, base)],
      [made(top, encoded([[0, 500]]), 4, lower)],
    ];
    const [at] = (await stored(frames, 'zstd')) as [number];
    return { top, at };
  }
  const zeros = (bytes: Uint8Array) => new Uint8Array(bytes.length);

  it('names no base of a deep delta that came right at the second try', async () => {
    const { top, at } = await deep();
    store.wrong = { at, as: zeros };
    await right(top, upkeep.read(digestOf(top)));
    expect(store.left).toBe(0);
    expect(index.suspects.all()).toEqual([]);
  });

  it.each([
    ['restores', () => reader],
    ['upkeep', () => upkeep],
  ])('nor does the second reading, whose second try it was: for %s', async (_, choose) => {
    const { top, at } = await deep();
    store.wrong = { at, as: zeros, times: 3 };
    await right(top, choose().read(digestOf(top)));
    expect(store.left).toBe(0);
    expect(index.suspects.all()).toEqual([]);
  });

  it('names the whole frame of a deep delta’s base that never comes right', async () => {
    const { top, at } = await deep();
    store.wrong = { at, as: zeros, times: 100 };
    await expect(upkeep.read(digestOf(top))).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    const named = [first.subarray(0, BYTES), second, top].map(digestOf).sort();
    expect(index.suspects.all().sort()).toEqual(named);
  });
});

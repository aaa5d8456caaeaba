/** Restores by stored frames: mixed with single chunks, damaged, cut off, hostile, and without them as older agents do. */

import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import {
  encodeFrame,
  FRAME,
  type Frame,
  type GivenGroup,
  type Imager,
  OverdubError,
} from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Appliance } from '../../plugins/agent/program/link/appliance.ts';
import { treeImager } from '../../plugins/imaging-tree/imager.ts';
import { World } from './agent-world.ts';

let world: World;
let root: string;
beforeEach(async () => {
  world = await World.create();
  root = await world.makeRoot('root');
});
afterEach(() => world.end());

const noise = (bytes: number, seed: string) => {
  const parts: Buffer[] = [];
  for (let at = 0; at * 32 < bytes; at++) parts.push(createHash('sha256').update(`${seed} ${at}`).digest());
  return Buffer.concat(parts).subarray(0, bytes);
};

/** 20 MB of all sorts: more than one group, one file of many chunks, equal files far apart. */
async function tree(): Promise<void> {
  await mkdir(join(root, 'usr/bin'), { recursive: true });
  await writeFile(join(root, 'usr/bin/noise'), randomBytes(12_000_000));
  await writeFile(join(root, 'usr/bin/text'), randomBytes(3_000_000).toString('hex'));
  for (let at = 0; at < 50; at++) await writeFile(join(root, `usr/${at}.conf`), `value = ${at}\n`.repeat(at));
  await writeFile(join(root, 'aaa'), 'the same\n'.repeat(100));
  await writeFile(join(root, 'zzz'), 'the same\n'.repeat(100));
}

/** Notes the types of frames that come down in fetches; `change` may spoil them. */
function watched(change: (frame: Frame) => Frame | undefined = (frame) => frame) {
  const appliance = receivingHere();
  const types: number[] = [];
  const read = appliance.read.bind(appliance);
  appliance.read = async function* (what, request, signal) {
    for await (const frame of read(what, request, signal)) {
      if (what === 'fetch') types.push(frame.type);
      const changed = what === 'fetch' ? change(frame) : frame;
      if (changed === undefined) return;
      yield changed;
    }
  };
  return { appliance, types };
}

/** Frames that a thread of the agent's receives are not seen here (`program/receiver/receiver.test.ts` has what comes of them). */
function receivingHere(): Appliance {
  const appliance: Appliance = world.connect();
  const fetch = appliance.fetch.bind(appliance);
  appliance.fetch = (request, _receiver, signal) => fetch(request, undefined, signal);
  Object.defineProperty(appliance, 'takesStreams', { get: () => false });
  return appliance;
}

const counted = (types: readonly number[], type: number) => types.filter((one) => one === type).length;

async function expectEqual(copy: string): Promise<void> {
  const names = (await readdir(root, { recursive: true, withFileTypes: true })).filter((one) => one.isFile());
  expect(names.length).toBeGreaterThan(0);
  for (const { parentPath, name } of names) {
    const file = join(parentPath, name);
    const there = await readFile(file.replace(root, copy));
    expect(there.equals(await readFile(file))).toBe(true);
  }
}

describe('a restore', () => {
  it('takes stored frames as they are, each once', async () => {
    await tree();
    const snapshot = await world.snapshot(root);
    const { appliance, types } = watched();
    const copy = await world.makeRoot('copy');
    await world.restore(copy, snapshot.id, { appliance });
    expect(counted(types, FRAME.group)).toBe(2);
    expect(counted(types, FRAME.chunk)).toBe(0);
    await expectEqual(copy);
  });

  it('mixes frames of several snapshots, deltas that the appliance resolves, and files that are there', async () => {
    await tree();
    const table = noise(4_000_000, 'table');
    await writeFile(join(root, 'table'), table);
    await world.snapshot(root);
    for (let at = 5_000; at < table.length; at += 300_000) table.write('another row', at);
    await writeFile(join(root, 'table'), table);
    await writeFile(join(root, 'usr/new'), noise(2_000_000, 'new'));
    const second = await world.snapshot(root);
    const { appliance, types } = watched();
    const copy = await world.makeRoot('copy');
    await mkdir(join(copy, 'usr'));
    await writeFile(join(copy, 'usr/7.conf'), 'something else');
    await world.restore(copy, second.id, { appliance });
    expect(counted(types, FRAME.group)).toBeGreaterThan(1);
    expect(counted(types, FRAME.chunk)).toBeGreaterThan(0);
    await expectEqual(copy);
  });

  it('writes files under their own names only where nothing was, not even something else', async () => {
    await tree();
    const snapshot = await world.snapshot(root);
    const blank: unknown[] = [];
    const imager: Imager = {
      ...treeImager,
      apply: (at, target, present, contents, options) => {
        blank.push(options.blank);
        return treeImager.apply(at, target, present, contents, options);
      },
    };
    const copy = await world.makeRoot('copy');
    await world.restore(copy, snapshot.id, { imager });
    await expectEqual(copy);
    const other = await world.makeRoot('other');
    await writeFile(join(other, 'aaa'), 'another');
    await world.restore(other, snapshot.id, { imager });
    await expectEqual(other);
    expect(blank).toEqual([true, false]);
  });

  it('goes chunk by chunk for an agent that takes no groups, and from an appliance that gives none', async () => {
    await tree();
    const snapshot = await world.snapshot(root);
    const { appliance, types } = watched();
    Object.defineProperty(appliance, 'takesGroups', { get: () => false });
    const copy = await world.makeRoot('copy');
    await world.restore(copy, snapshot.id, { appliance });
    expect(counted(types, FRAME.group)).toBe(0);
    expect(counted(types, FRAME.chunk)).toBeGreaterThan(50);
    await expectEqual(copy);
  });

  it('gets over a group that is damaged on its way: its chunks come one by one', async () => {
    await tree();
    const snapshot = await world.snapshot(root);
    let spoilt = 0;
    const { appliance, types } = watched((frame) => {
      if (frame.type !== FRAME.piece || spoilt++ > 0) return frame;
      const payload = Buffer.from(frame.payload);
      payload[payload.length >> 1] = (payload[payload.length >> 1] as number) ^ 1;
      return { ...frame, payload };
    });
    const copy = await world.makeRoot('copy');
    await world.restore(copy, snapshot.id, { appliance });
    expect(counted(types, FRAME.chunk)).toBeGreaterThan(0);
    await expectEqual(copy);
  });

  it('names a frame that is damaged where it is stored, and never writes wrong bytes', async () => {
    await writeFile(join(root, 'noise'), noise(3_000_000, 'a'));
    const snapshot = await world.snapshot(root);
    const [name] = [...world.blobs.blobs.keys()].filter((one) => one.startsWith('packs/')) as [string];
    const pack = Buffer.from(world.blobs.blobs.get(name) as Uint8Array);
    pack[1_500_000] = (pack[1_500_000] as number) ^ 4;
    world.blobs.blobs.set(name, pack);
    await world.stop();
    await world.start();
    const copy = await world.makeRoot('copy');
    const failed = world.restore(copy, snapshot.id);
    await expect(failed).rejects.toMatchObject({
      code: 'REPOSITORY_DAMAGED',
      message: expect.stringContaining(name),
    });
    expect(await readdir(copy)).toEqual([]);
    // The appliance knows now: whoever offers the chunk again is let in.
    expect((await world.repository.verify()).sound).toBe(false);
  });

  it('tells no server what another has: of a frame with a chunk of somebody else only what is wanted goes out', async () => {
    await tree();
    const snapshot = await world.snapshot(root);
    const frameOf = world.repository.frameOf.bind(world.repository);
    world.repository.frameOf = async (digest) => {
      const frame = await frameOf(digest);
      return frame && { ...frame, digests: [...frame.digests, 'f'.repeat(64)] };
    };
    const given: GivenGroup[] = [];
    const { appliance } = watched((frame) => {
      if (frame.type === FRAME.group) given.push(JSON.parse(Buffer.from(frame.payload).toString()));
      return frame;
    });
    const copy = await world.makeRoot('copy');
    await world.restore(copy, snapshot.id, { appliance });
    expect(given.length).toBeGreaterThan(0);
    for (const { chunks, gives } of given)
      expect(new Set(gives.map(([, chunk]) => chunk)).size).toBe(chunks.length);
    await expectEqual(copy);
  });
});

describe('an answer', () => {
  const honest: GivenGroup = { chunks: [9], encoding: 'raw', bytes: 9, gives: [[0, 0]] };

  /** A restore of one file of nine bytes, answered with these frames. */
  async function answered(frames: readonly (readonly [type: number, payload: string | Uint8Array])[]) {
    await writeFile(join(root, 'file'), 'nine byte');
    const snapshot = await world.snapshot(root);
    const appliance = receivingHere();
    const read = appliance.read.bind(appliance);
    let asked = 0;
    appliance.read = async function* (what, request, signal) {
      if (what !== 'fetch' || asked++ > 0) return yield* read(what, request, signal);
      for (const [type, payload] of frames) yield { type, payload: Buffer.from(payload) };
    };
    const copy = await world.makeRoot('copy');
    await world.restore(copy, snapshot.id, { appliance });
    return await readFile(join(copy, 'file'), 'utf8');
  }

  const group = (head: Partial<GivenGroup>, piece: string | Uint8Array = 'nine byte') =>
    [
      [FRAME.group, JSON.stringify({ ...honest, ...head })],
      [FRAME.piece, piece],
      [FRAME.piecesEnd, ''],
    ] as const;

  it('as it should be is taken', async () => {
    expect(await answered(group({}))).toBe('nine byte');
  });

  it('of other bytes is fetched anew, chunk by chunk', async () => {
    expect(await answered(group({}, 'ten bytes'))).toBe('nine byte');
  });

  it('that does not decompress, or makes more than it says, is fetched anew', async () => {
    expect(await answered(group({ encoding: 'zstd' }))).toBe('nine byte');
    const bomb = zstdCompressSync(Buffer.alloc(8 << 20));
    expect(await answered(group({ encoding: 'zstd', bytes: bomb.length }, bomb))).toBe('nine byte');
  });

  it.each<[string, Partial<GivenGroup>]>([
    ['more bytes than a group may have', { bytes: 2 ** 31 }],
    ['chunks longer than a group may be', { chunks: [9, ...Array(3).fill(8 << 20)] }],
    ['a chunk that is none', { chunks: [9, -1] }],
    ['a want that was not asked for', { gives: [[7, 0]] }],
    ['a want that is no number', { gives: [['constructor' as unknown as number, 0]] }],
    ['a chunk of another length', { chunks: [8, 1], gives: [[0, 1]] }],
    ['a chunk that it does not have', { gives: [[0, 3]] }],
    [
      'more than was asked for',
      {
        gives: [
          [0, 0],
          [0, 0],
        ],
      },
    ],
    ['nothing at all', { gives: undefined as unknown as [] }],
    ['an encoding that is none', { encoding: 'gzip' as 'zstd' }],
  ])('with a group that announces %s is refused', async (_what, head) => {
    await expect(answered(group(head))).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  it('whose group is cut off, too long or interrupted is refused', async () => {
    const [head, piece] = group({});
    for (const frames of [
      [head],
      [head, piece],
      [head, [FRAME.piece, 'nine bytes and more'] as const],
      [head, [FRAME.chunk, 'nine byte'] as const],
    ])
      await expect(answered(frames)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  it('that ends too soon is refused', async () => {
    await expect(answered([])).rejects.toBeInstanceOf(OverdubError);
  });

  it.each([
    ['for a window that is no number', { groupBytes: 'all' }],
    ['of one who waited longer than there was time', { groupBytes: 1_000_000, waited: 1.5 }],
    ['of one who waited for no number', { groupBytes: 1_000_000, waited: 'long' }],
  ])('to a request %s is refused', async (_what, more) => {
    await writeFile(join(root, 'file'), 'nine byte');
    const { manifest } = await world.snapshot(root);
    const head = { image: manifest, ...more };
    const request = async function* () {
      yield* encodeFrame(FRAME.head, JSON.stringify(head));
      yield* encodeFrame(FRAME.digests, createHash('sha256').update('nine byte').digest());
      yield* encodeFrame(FRAME.end);
    };
    const reading = world.connect().read('fetch', request, world.signal).next();
    await expect(reading).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });
});

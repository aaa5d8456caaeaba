/** New content travels in groups that the appliance keeps as they come; older agents and appliances go without. */

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import {
  digestOf,
  encodeFrame,
  type FileStamp,
  FRAME,
  type Frame,
  OverdubError,
  parseFrames,
  requestFrames,
} from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Appliance } from '../../plugins/agent/program/link/appliance.ts';
import { takeSnapshot } from '../../plugins/agent/program/transfer/snapshot.ts';
import { World } from './agent-world.ts';
import { openingBy } from './opening.ts';

let world: World;
beforeEach(async () => {
  world = await World.create();
});
afterEach(() => world.end());

/** 20 MB of all sorts, so that there is more than one group. */
async function tree(): Promise<string> {
  const root = await world.makeRoot('root');
  await mkdir(join(root, 'usr/bin'), { recursive: true });
  await writeFile(join(root, 'usr/bin/noise'), randomBytes(9_000_000));
  await writeFile(join(root, 'usr/bin/text'), randomBytes(3_000_000).toString('hex'));
  await writeFile(join(root, 'usr/bin/zeros'), Buffer.alloc(4_000_000));
  for (let at = 0; at < 50; at++) await writeFile(join(root, `usr/${at}.conf`), `value = ${at}\n`.repeat(at));
  return root;
}

/** Notes the types of frames that go up; `change` may spoil them. */
function watched(change: (frame: Frame) => Frame = (frame) => frame) {
  const appliance = world.connect();
  const types: number[][] = [];
  const upload = appliance.upload.bind(appliance);
  appliance.upload = async (transfer, frames, ...rest) => {
    const seen: number[] = [];
    types.push(seen);
    const passing = async function* () {
      for await (const frame of parseFrames(frames)) {
        seen.push(frame.type);
        const { type, payload } = change(frame);
        yield* encodeFrame(type, payload);
      }
    };
    await upload(transfer, passing(), ...rest);
  };
  return { appliance, types };
}

async function expectRestored(snapshot: string, root: string): Promise<void> {
  const copy = await world.makeRoot('copy');
  await world.restore(copy, snapshot);
  for (const file of ['usr/bin/noise', 'usr/bin/text', 'usr/bin/zeros', 'usr/49.conf'])
    expect((await readFile(join(copy, file))).equals(await readFile(join(root, file)))).toBe(true);
}

const counted = (types: readonly number[], type: number) => types.filter((one) => one === type).length;

describe('new content', () => {
  it('takes no file for one that changes where it is refused while more is being read', async () => {
    const root = await world.makeRoot('root');
    for (let at = 0; at < 600; at++) await writeFile(join(root, `${at}.conf`), randomBytes(20_000));
    const appliance = world.connect();
    const upload = vi.spyOn(appliance, 'upload').mockImplementationOnce(async (_transfer, frames) => {
      const reading = frames[Symbol.asyncIterator]();
      // The head is two pieces; behind it nothing comes until a group is full.
      for (let piece = 0; piece < 2; piece++) await reading.next();
      void reading.next();
      throw new OverdubError('INPUT_INVALID', 'A frame cannot be stored.', 'Send it again.');
    });
    const imager = openingBy(async (_, really) => {
      await new Promise((done) => setImmediate(done));
      return really();
    });
    const snapshot = await world.snapshot(root, { appliance, imager });
    expect(snapshot.skipped).toEqual([]);
    expect(snapshot.stats.filesChanged).toBe(600);
    expect(upload.mock.calls.length).toBeGreaterThan(1);
    const copy = await world.makeRoot('copy');
    await world.restore(copy, snapshot.id);
    expect(await readFile(join(copy, '599.conf'))).toEqual(await readFile(join(root, '599.conf')));
  });

  it('travels in groups, single chunks none, and comes back', async () => {
    const root = await tree();
    const { appliance, types } = watched();
    const snapshot = await world.snapshot(root, { appliance });
    const [contents = []] = types;
    expect(counted(contents, FRAME.group)).toBe(2);
    expect(counted(contents, FRAME.chunk)).toBe(0);
    await expectRestored(snapshot.id, root);
    expect((await world.repository.verify({ readData: true })).sound).toBe(true);
    // Hex digits to a half, zeros to nothing: the frames are kept compressed.
    expect(snapshot.stats.bytesStored).toBeLessThan(13_000_000);
  });

  it('goes one by one to an appliance that takes no groups', async () => {
    const root = await tree();
    const { appliance, types } = watched();
    const begin = appliance.beginTransfer.bind(appliance);
    appliance.beginTransfer = async (...args: Parameters<Appliance['beginTransfer']>) => {
      const { groupBytes: _none, ...offer } = await begin(...args);
      return offer;
    };
    const snapshot = await world.snapshot(root, { appliance });
    expect(counted(types[0] ?? [], FRAME.group)).toBe(0);
    expect(counted(types[0] ?? [], FRAME.chunk)).toBeGreaterThan(50);
    await expectRestored(snapshot.id, root);
  });

  it('goes one by one where it is larger than the groups that are taken', async () => {
    const root = await tree();
    const { appliance, types } = watched();
    const begin = appliance.beginTransfer.bind(appliance);
    appliance.beginTransfer = async (...args: Parameters<Appliance['beginTransfer']>) => ({
      ...(await begin(...args)),
      groupBytes: 10_000,
    });
    const snapshot = await world.snapshot(root, { appliance });
    expect(counted(types[0] ?? [], FRAME.group)).toBeGreaterThan(1);
    expect(counted(types[0] ?? [], FRAME.chunk)).toBeGreaterThan(3);
    await expectRestored(snapshot.id, root);
  });

  it('is sent again one by one when its groups arrive damaged, hashed or not', async () => {
    const root = await tree();
    const spoilt = new Set<number>();
    const { appliance, types } = watched((frame) => {
      if (frame.type !== FRAME.piece || spoilt.has(types.length)) return frame;
      spoilt.add(types.length);
      const payload = Buffer.from(frame.payload);
      payload[payload.length >> 1] = (payload[payload.length >> 1] as number) ^ 1;
      return { ...frame, payload };
    });
    const snapshot = await world.snapshot(root, { appliance });
    expect(spoilt.size).toBeGreaterThan(0);
    const alone = types[spoilt.size] ?? [];
    expect(counted(alone, FRAME.group)).toBe(0);
    expect(counted(alone, FRAME.chunk)).toBeGreaterThan(50);
    await expectRestored(snapshot.id, root);
  });

  it('that changed behind an unchanged stamp is refused, hashed, and sent as it is now', async () => {
    const root = await tree();
    const file = join(root, 'usr/bin/noise');
    const { appliance, types } = watched();
    let known: FileStamp | undefined;
    let opened = 0;
    const imager = openingBy(async (path, really) => {
      if (path !== 'usr/bin/noise') return await really();
      if (++opened === 2) await writeFile(file, randomBytes(9_000_000));
      const source = await really();
      known ??= await source.stamp();
      return Object.assign(source, { stamp: () => Promise.resolve(known as FileStamp) });
    });
    const snapshot = await world.snapshot(root, { appliance, imager });
    // By stamps, then by hashes, then the copy.
    expect(types.slice(0, 3).map((one) => counted(one, FRAME.group) > 0)).toEqual([true, true, true]);
    expect(snapshot.skipped).toEqual([{ path: 'usr/bin/noise', reason: 'changing' }]);
    await expectRestored(snapshot.id, root);
  });

  it('that another server has already is not stored twice', async () => {
    const root = await tree();
    await world.snapshot(root);
    const before = (await world.repository.stats()).storedBytes;
    const appliance = world.connect('web-2');
    const task = await appliance.beginSnapshot({ server: 'web-2', reason: 'manual' }, world.signal);
    await writeFile(join(root, 'usr/own'), randomBytes(1000));
    const context = { ...world.context(appliance, root), stateDir: join(world.dir, 'state-2') };
    await takeSnapshot(context, task);
    expect((await world.repository.stats()).storedBytes - before).toBeLessThan(50_000);
  });
});

describe('a group from a hostile agent', () => {
  const PLAIN = { files: [], virtual: 0 };

  async function begun(wanted: Uint8Array) {
    const appliance = world.connect();
    const task = await appliance.beginSnapshot({ server: 'web-1', reason: 'manual' }, world.signal);
    const { transfer } = await appliance.beginTransfer({ task: task.id, ageMs: 0 }, world.signal);
    const isMissing = async () =>
      (await appliance.offer(transfer, 'chunks', [digestOf(wanted)], world.signal))(0);
    expect(await isMissing()).toBe(true);
    const send = (head: unknown, stored: Uint8Array) => {
      const frames = [
        ...encodeFrame(FRAME.group, JSON.stringify(head)),
        ...encodeFrame(FRAME.piece, stored),
        ...encodeFrame(FRAME.piecesEnd),
      ];
      return appliance.upload(transfer, requestFrames(PLAIN, frames), world.signal);
    };
    return { send, isMissing };
  }

  it('of impossible lengths, or longer or shorter than it says, is refused, and the transfer goes on', async () => {
    const bytes = randomBytes(1000);
    const { send, isMissing } = await begun(bytes);
    const head = { chunks: [1000], encoding: 'raw', bytes: 1000 };
    for (const wrong of [
      { ...head, chunks: 'x' },
      { ...head, chunks: [] },
      { ...head, chunks: [-1000] },
      { ...head, chunks: [999] },
      { ...head, encoding: 'gzip' },
      { ...head, bytes: 2 ** 40 },
      { ...head, bytes: 999 },
      { ...head, bytes: 1001 },
      {},
    ]) {
      await expect(send(wrong, bytes)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    }
    await send(head, bytes);
    expect(await isMissing()).toBe(false);
  });

  it('that unpacks to what was not offered, or to far more than it says, stores nothing', async () => {
    const [right, wrong] = [randomBytes(1000), randomBytes(1000)];
    const { send, isMissing } = await begun(right);
    const both = { chunks: [1000, 1000], encoding: 'raw', bytes: 2000 };
    await expect(send(both, Buffer.concat([right, wrong]))).rejects.toThrow(/not asked for/);
    const bomb = zstdCompressSync(Buffer.alloc(1 << 27));
    const packed = { chunks: [1000], encoding: 'zstd', bytes: bomb.length };
    await expect(send(packed, bomb)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    expect(await isMissing()).toBe(true);
  });
});

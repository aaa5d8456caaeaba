import { beforeEach, describe, expect, it } from 'vitest';
import { noise } from '../fixture.ts';
import { GroupWindows } from './group-windows.ts';

const GROUP = noise(600_000, 'group');
const PART = 12_000;

describe('parts of groups', () => {
  let windows: GroupWindows;
  let reads: [from: number, length: number][];
  beforeEach(() => {
    windows = new GroupWindows();
    windows.resize(1_000_000);
    reads = [];
  });

  const lent = (at: number, length: number, name = 'group') => {
    const group = {
      name,
      bytes: GROUP.length,
      read: (from: number, count: number) => {
        reads.push([from, count]);
        return Promise.resolve(Uint8Array.prototype.slice.call(GROUP, from, from + count));
      },
    };
    return windows.read(group, at, length);
  };
  const read = async (at: number, length: number, name = 'group') => {
    const { bytes, giveBack } = await lent(at, length, name);
    const copy = Buffer.from(bytes);
    giveBack();
    return copy;
  };
  const bytesRead = () => reads.reduce((sum, [, length]) => sum + length, 0);

  it('are read alone where nothing near was needed', async () => {
    for (const at of [300_000, 100_000, 500_000])
      expect(await read(at, PART)).toEqual(GROUP.subarray(at, at + PART));
    expect(reads).toEqual([
      [300_000, PART],
      [100_000, PART],
      [500_000, PART],
    ]);
  });

  it('are read ahead, no byte twice but those of a part that is cut in two, where one behind another is needed', async () => {
    for (let at = 100_000; at + PART <= GROUP.length; at += PART)
      expect(await read(at, PART)).toEqual(GROUP.subarray(at, at + PART));
    expect(bytesRead()).toBeLessThanOrEqual(500_000 + (reads.length - 1) * PART);
    expect(reads.length).toBeLessThan(5);
  });

  it('are read ahead at once at the beginning, to the end at most', async () => {
    await read(0, PART);
    for (let at = PART; at + PART <= GROUP.length; at += PART) await read(at, PART);
    expect(reads.length).toBeLessThan(4);
    expect(bytesRead()).toBeLessThanOrEqual(GROUP.length + (reads.length - 1) * PART);
  });

  it('are read once for all who ask at a time', async () => {
    const asked = Array.from({ length: 20 }, (_, nth) => read(nth * PART, PART));
    for (const [nth, part] of (await Promise.all(asked)).entries())
      expect(part).toEqual(GROUP.subarray(nth * PART, (nth + 1) * PART));
    expect(reads.length).toBe(1);
  });

  it('may be longer than what is read ahead', async () => {
    expect(await read(0, GROUP.length)).toEqual(GROUP);
    expect(reads).toEqual([[0, GROUP.length]]);
  });

  it('are asked for again once there is no room for their group', async () => {
    await read(100_000, PART, 'a');
    windows.resize(PART);
    await read(200_000, PART, 'b');
    await read(100_000, PART, 'a');
    expect(reads.length).toBe(3);
  });

  it('are good until they are given back, whatever is read meanwhile, and freed then', async () => {
    const half = 300_000;
    const first = await lent(half, half);
    const second = await lent(half, PART);
    await read(0, PART);
    expect(reads).toEqual([
      [half, half],
      [0, half],
    ]);
    expect(Buffer.from(first.bytes)).toEqual(GROUP.subarray(half));
    first.giveBack();
    first.giveBack();
    expect(Buffer.from(second.bytes)).toEqual(GROUP.subarray(half, half + PART));
    second.giveBack();
    expect([first.bytes.length, second.bytes.length]).toEqual([0, 0]);
  });

  it.each([
    ['where there is no more room', () => windows.resize(0)],
    ['when all are forgotten', () => windows.clear()],
  ])('are good until they are given back: %s', async (_, forget) => {
    const part = await lent(0, PART);
    forget();
    expect(Buffer.from(part.bytes)).toEqual(GROUP.subarray(0, PART));
    expect(await read(0, PART)).toEqual(GROUP.subarray(0, PART));
    expect(reads.length).toBe(2);
    part.giveBack();
    expect(part.bytes.length).toBe(0);
  });

  it('fail by themselves: the next one reads anew', async () => {
    const broken = { name: 'group', bytes: GROUP.length, read: () => Promise.reject(new Error('no disk')) };
    await expect(windows.read(broken, 0, PART)).rejects.toThrow('no disk');
    const two = [windows.read(broken, 0, PART), read(PART, PART)] as const;
    await expect(two[0]).rejects.toThrow('no disk');
    expect(await two[1]).toEqual(GROUP.subarray(PART, 2 * PART));
  });
});

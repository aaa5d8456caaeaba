import { beforeEach, describe, expect, it } from 'vitest';
import { ReadCache } from './read-cache.ts';

const MiB = 1024 * 1024;
const GROUP = MiB / 2;

describe('what a reader of chunks keeps', () => {
  let cache: ReadCache;
  let reads: string[];
  beforeEach(() => {
    cache = new ReadCache({ frames: 16 * MiB, groups: 2 * MiB, bases: 2 * MiB });
    reads = [];
  });

  const frame = (name: string, rawBytes: number) => {
    const read = async () => {
      reads.push(name);
      return new Uint8Array(1);
    };
    return cache.frame({ name, rawBytes, read }, { at: 0, length: 1 });
  };
  /** Puts a chunk together from so many deltas, each in a group of its own, the same ones each time. */
  async function chain(links: number): Promise<void> {
    const chain = cache.beginChain();
    for (let link = 0; link < links; link++) {
      cache.addLink(chain, GROUP);
      await frame(`group ${link}`, GROUP);
    }
  }

  it('is read once, groups of deltas beside the largest frame', async () => {
    for (let turn = 0; turn < 3; turn++) {
      await frame('whole', 16 * MiB);
      for (const group of ['a', 'b', 'c', 'd']) await frame(group, GROUP);
    }
    expect(reads).toEqual(['whole', 'a', 'b', 'c', 'd']);
  });

  it('has room for one large frame, and for so many groups', async () => {
    await frame('whole', 16 * MiB);
    await frame('another', 4 * MiB);
    await frame('whole', 16 * MiB);
    for (const group of ['a', 'b', 'c', 'd', 'e', 'a']) await frame(group, GROUP);
    expect(reads).toEqual(['whole', 'another', 'whole', 'a', 'b', 'c', 'd', 'e', 'a']);
  });

  it('has room for all groups of a chain, which its neighbours need as well', async () => {
    for (let chunk = 0; chunk < 4; chunk++) await chain(50);
    expect(reads.length).toBe(50);
  });

  it('keeps it when a chain between them is shorter: a chunk that changed less often', async () => {
    for (const links of [50, 30, 50, 2, 50]) await chain(links);
    expect(reads.length).toBe(50);
  });

  it('gives that room up bit by bit while only shorter chains follow', async () => {
    await chain(50);
    for (let turn = 0; turn < 400; turn++) await chain(2);
    reads = [];
    await chain(50);
    expect(reads.length).toBeGreaterThan(35);
  });

  it('makes no more room for links that lie in frames of whole chunks', async () => {
    const chain = cache.beginChain();
    for (let link = 0; link < 50; link++) cache.addLink(chain, 16 * MiB);
    const groups = Array.from({ length: 200 }, (_, nth) => `group ${nth}`);
    for (const group of [...groups, ...groups]) await frame(group, GROUP);
    expect(reads.length).toBe(400);
  });

  it('keeps bases by themselves, whatever deltas are read', async () => {
    const base = (digest: string) =>
      cache.base(digest, MiB, async () => {
        reads.push(digest);
        return new Uint8Array(1);
      });
    for (const digest of ['x', 'y', 'x']) await base(digest);
    for (const group of ['a', 'b', 'c', 'd', 'e']) await frame(group, GROUP);
    for (const digest of ['x', 'z', 'y']) await base(digest);
    expect(reads).toEqual(['x', 'y', 'a', 'b', 'c', 'd', 'e', 'z', 'y']);
  });
});

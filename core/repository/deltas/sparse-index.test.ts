import { describe, expect, it } from 'vitest';
import { noise } from '../fixture.ts';
import { anchorsOf, SparseIndex } from './sparse-index.ts';

const MiB = 1024 * 1024;
const shared = (a: Int32Array, b: Int32Array) => a.filter((anchor) => b.includes(anchor)).length;

describe('anchors', () => {
  it('lie some 4 KiB apart, each once, in order', () => {
    const anchors = anchorsOf(noise(MiB, 'a'));
    expect(anchors.length).toBeGreaterThan(180);
    expect(anchors.length).toBeLessThan(340);
    expect([...anchors]).toEqual([...new Set(anchors)].sort((a, b) => a - b));
  });

  it('are those of the content, wherever it lies', () => {
    const content = noise(MiB, 'a');
    const anchors = anchorsOf(content);
    for (const before of [1, 4099]) {
      const moved = anchorsOf(Buffer.concat([noise(before, 'before'), content, noise(77, 'behind')]));
      expect(shared(anchors, moved)).toBeGreaterThanOrEqual(anchors.length - 1);
    }
    expect(shared(anchors, anchorsOf(noise(MiB, 'b')))).toBe(0);
  });

  it('of a run of one byte, of next to nothing and of nothing are few', () => {
    for (let byte = 0; byte < 256; byte++) {
      expect(anchorsOf(Buffer.alloc(10_000, byte)).length).toBeLessThanOrEqual(1);
    }
    expect(anchorsOf(noise(60, 'short'))).toHaveLength(0);
    expect(anchorsOf(new Uint8Array())).toHaveLength(0);
  });
});

describe('a sparse index', () => {
  it('names the first owner of an anchor', () => {
    const index = new SparseIndex<string>();
    index.add(Int32Array.of(-5, 7), 'first');
    index.add(Int32Array.of(7, 9), 'second');
    expect([-5, 7, 9, 11].map((anchor) => index.find(anchor))).toEqual([
      'first',
      'first',
      'second',
      undefined,
    ]);
  });

  it('knows an anchor of any value only when it was told', () => {
    expect(new SparseIndex<string>().find(0)).toBeUndefined();
  });

  it('forgets the oldest', () => {
    const index = new SparseIndex<number>();
    for (let owner = 0; owner <= 1 << 16; owner++) index.add(Int32Array.of(owner), owner);
    expect(index.find(0)).toBeUndefined();
    expect(index.find(1)).toBe(1);
    // Same place in the table.
    index.add(Int32Array.of(1 + (1 << 20)), -1);
    expect(index.find(1)).toBeUndefined();
  });
});

import { getHeapStatistics } from 'node:v8';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WaitingGarbage } from './waiting-garbage.ts';

vi.mock('node:v8', () => ({ getHeapStatistics: vi.fn() }));

describe('garbage that waits', () => {
  const gc = vi.fn();
  beforeEach(() => {
    vi.stubGlobal('gc', gc);
  });
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  /** What is in use by and by; `after` a collection. How often was one made? */
  function collections(used: readonly (readonly [heap: number, buffers: number])[], after = 0): number {
    const garbage = new WaitingGarbage(100);
    gc.mockReset();
    const use = (heap: number, buffers: number) =>
      vi.mocked(getHeapStatistics).mockReturnValue({
        used_heap_size: heap,
        external_memory: buffers,
      } as ReturnType<typeof getHeapStatistics>);
    gc.mockImplementation(() => use(after, 0));
    for (const [heap, buffers] of used) {
      use(heap, buffers);
      garbage.check();
    }
    return gc.mock.calls.length;
  }

  it('is collected when the heap and its buffers have grown by so much', () => {
    expect(
      collections([
        [50, 50],
        [99, 50],
        [100, 99],
      ]),
    ).toBe(0);
    expect(
      collections([
        [50, 50],
        [100, 100],
      ]),
    ).toBe(1);
  });

  it('counts from what V8 has left', () => {
    expect(
      collections([
        [300, 0],
        [210, 0],
        [309, 0],
      ]),
    ).toBe(0);
    expect(
      collections([
        [300, 0],
        [210, 0],
        [310, 0],
      ]),
    ).toBe(1);
  });

  it('is not looked for again in what turned out to live', () => {
    expect(
      collections(
        [
          [50, 0],
          [160, 0],
          [200, 0],
          [249, 0],
        ],
        150,
      ),
    ).toBe(1);
    expect(
      collections(
        [
          [50, 0],
          [160, 0],
          [200, 0],
          [250, 0],
        ],
        150,
      ),
    ).toBe(2);
  });

  it('may be a fifth of a large heap', () => {
    const large = (waiting: number): (readonly [number, number])[] => [
      [600, 50],
      [600 + waiting, 50],
    ];
    expect(collections(large(119))).toBe(0);
    expect(collections(large(120))).toBe(1);
  });

  it('is left to V8 without leave', () => {
    vi.stubGlobal('gc', undefined);
    expect(
      collections([
        [0, 0],
        [1000, 0],
      ]),
    ).toBe(0);
  });
});

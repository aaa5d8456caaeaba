import { describe, expect, it, vi } from 'vitest';
import { alone, PassedBytes, release } from './release.ts';

const LARGE = 1 << 20;

describe('release', () => {
  it('empties every view of a large buffer', () => {
    const bytes = Buffer.allocUnsafeSlow(LARGE);
    const view = bytes.subarray(100, 200);
    release(bytes);
    expect([bytes.length, view.length]).toEqual([0, 0]);
  });

  it('takes bytes with room behind them', () => {
    const bytes = Buffer.allocUnsafeSlow(LARGE).subarray(0, 1000);
    release(bytes);
    expect(bytes.length).toBe(0);
  });

  it.each([
    ['what is small', Buffer.allocUnsafeSlow(1000)],
    ['what Node cuts from its pool', Buffer.from('twelve bytes')],
    ['shared memory', new Uint8Array(new SharedArrayBuffer(LARGE))],
  ])('leaves %s alone', (_what, bytes) => {
    const { length } = bytes;
    release(bytes);
    expect(bytes.length).toBe(length);
  });

  it('takes what is empty already', () => {
    const bytes = Buffer.allocUnsafeSlow(LARGE);
    release(bytes);
    expect(() => release(bytes)).not.toThrow();
  });

  it('frees at once', () => {
    const before = process.memoryUsage().arrayBuffers;
    for (let at = 0; at < 4; at++) release(Buffer.allocUnsafeSlow(16 * LARGE));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * LARGE);
  });
});

describe('passed bytes', () => {
  it('have the collector come by each time that the limit is reached', () => {
    const gc = vi.fn();
    vi.stubGlobal('gc', gc);
    const passed = new PassedBytes(1000);
    for (const bytes of [400, 599, 1, 999, 5000]) passed.add(bytes);
    expect(gc.mock.calls).toEqual([
      [{ type: 'minor', execution: 'sync' }],
      [{ type: 'minor', execution: 'sync' }],
    ]);
    vi.unstubAllGlobals();
  });

  it('are only counted where the process has no leave to collect', () => {
    vi.stubGlobal('gc', undefined);
    expect(() => new PassedBytes(1).add(10)).not.toThrow();
    vi.unstubAllGlobals();
  });
});

describe('bytes that are kept', () => {
  it('hold no larger buffer alive', () => {
    const frame = new Uint8Array(1 << 20).fill(7);
    const kept = alone(frame.subarray(1000, 5000));
    expect(kept.buffer.byteLength).toBe(4000);
    expect(kept).toEqual(frame.subarray(1000, 5000));
  });

  it('are not copied where they are most of their buffer', () => {
    const bytes = new Uint8Array(1 << 20).subarray(0, 600_000);
    expect(alone(bytes)).toBe(bytes);
  });
});

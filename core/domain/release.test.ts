import { describe, expect, it } from 'vitest';
import { release } from './release.ts';

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

import { describe, expect, it } from 'vitest';
import { alone } from './byte-cache.ts';

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

import { describe, expect, it } from 'vitest';
import { UsageError } from './command.ts';
import { parseSize } from './sizes.ts';

describe('parseSize', () => {
  it.each([
    ['800', 800],
    ['500kB', 500_000],
    ['5MB', 5_000_000],
    ['5M', 5_000_000],
    ['1.5GB', 1_500_000_000],
    ['64MiB', 64 * 1024 * 1024],
    ['64 kib', 65_536],
  ])('%s is %i bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', 'fast', '-1', '5 parsecs', '1e9', '5TBx', '0x10'])('refuses %j', (text) => {
    expect(() => parseSize(text)).toThrow(UsageError);
  });
});

import { describe, expect, it } from 'vitest';
import { isSettled } from './settled.ts';

const LOOKED = 1_800_000_000_000_000_000n;
const MS = 1_000_000n;

function stamp(mtimeNs: bigint, ctimeNs: bigint) {
  return { size: 1, mtimeNs: String(mtimeNs), ctimeNs: String(ctimeNs), inode: '1', device: '1' };
}

describe('a stamp vouches for a file', () => {
  it('when both its times had passed before the file was opened', () => {
    const passed = LOOKED - 150n * MS;
    expect(isSettled(stamp(passed, passed), LOOKED)).toBe(true);
    expect(isSettled(stamp(1n, passed), LOOKED)).toBe(true);
  });

  it.each([0n, 10n, 20n, 99n])('not when either is %i ms old, within ticks of the clock of files', (age) => {
    const fresh = LOOKED - age * MS - 1n;
    const passed = LOOKED - 500n * MS - 1n;
    expect(isSettled(stamp(fresh, passed), LOOKED)).toBe(false);
    expect(isSettled(stamp(passed, fresh), LOOKED)).toBe(false);
    expect(isSettled(stamp(fresh, fresh), LOOKED)).toBe(false);
  });

  it('not when a time lies in the future', () => {
    expect(isSettled(stamp(LOOKED + 5n * MS, LOOKED - 500n * MS - 1n), LOOKED)).toBe(false);
  });

  it('only after two seconds where the filesystem may count seconds', () => {
    expect(isSettled(stamp(LOOKED - 1000n * MS, LOOKED - 1000n * MS), LOOKED)).toBe(false);
    expect(isSettled(stamp(LOOKED - 2000n * MS, LOOKED - 2000n * MS), LOOKED)).toBe(false);
    expect(isSettled(stamp(LOOKED - 3000n * MS, LOOKED - 3000n * MS), LOOKED)).toBe(true);
    // Its modification time was set by hand; its change time shows how fine the filesystem is.
    expect(isSettled(stamp(LOOKED - 1000n * MS, LOOKED - 1000n * MS + 1n), LOOKED)).toBe(true);
  });
});

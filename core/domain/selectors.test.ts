import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OverdubError } from '../errors.ts';
import { resolveSelector, type SelectorOptions } from './selectors.ts';
import type { Snapshot } from './snapshot.ts';

const MINUTE = 60_000;

function snapshotAt(endMs: number, over: Partial<Snapshot> = {}): Snapshot {
  return {
    id: `s${String(endMs).padStart(16, '0')}`,
    server: 'web-1',
    manifest: { root: '0'.repeat(64), entries: 0, bytes: 0 },
    startedAt: new Date(endMs - 1000).toISOString(),
    endedAt: new Date(endMs).toISOString(),
    consistency: 'crash',
    reason: 'schedule',
    suspect: false,
    pinned: false,
    skipped: [],
    skippedTotal: 0,
    stats: { bytesReceived: 0, bytesSent: 0, bytesStored: 0, filesChanged: 0 },
    ...over,
  };
}

const at = (iso: string) => Date.parse(iso);
const now = at('2026-11-22T13:00:00Z');
/** 12:30, 12:40, 12:45, 12:50 (suspect), 12:55, all UTC, in no order. */
const list = ['12:45', '12:30', '12:50', '12:55', '12:40'].map((time) =>
  snapshotAt(at(`2026-11-22T${time}:00Z`), { suspect: time === '12:50' }),
);
const found = (selector: string, options: Partial<SelectorOptions> = {}) =>
  resolveSelector(list, selector, { now, offsetMinutes: 0, ...options }).endedAt.slice(11, 16);
const code = (selector: string, options: Partial<SelectorOptions> = {}) => {
  try {
    return resolveSelector(list, selector, { now, ...options }).id;
  } catch (error) {
    return (error as OverdubError).code;
  }
};

describe('resolveSelector', () => {
  it.each([
    ['latest', '12:55'],
    ['~0', '12:55'],
    ['~1', '12:45'],
    ['~3', '12:30'],
    ['12:45', '12:45'],
    ['12:44:59', '12:40'],
    ['12:52', '12:45'],
    ['2026-11-22T12:45Z', '12:45'],
    ['2026-11-22T13:45+01:00', '12:45'],
    ['2026-11-22T07:15:30.5-05:30', '12:45'],
    ['2026-11-22T12:45', '12:45'],
    ['13:45+01:00', '12:45'],
    ['12:40Z', '12:40'],
  ])('%s names the one of %s', (selector, end) => {
    expect(found(selector)).toBe(end);
  });

  it('takes times before a moment strictly when asked to', () => {
    expect(found('12:45', { strictlyBefore: true })).toBe('12:40');
    expect(found('12:45:01', { strictlyBefore: true })).toBe('12:45');
  });

  it('reads a bare time in the caller’s zone, as the latest that has passed', () => {
    expect(found('13:45', { offsetMinutes: 60 })).toBe('12:45');
    expect(found('07:10', { offsetMinutes: -330 })).toBe('12:40');
    const yesterday = snapshotAt(at('2026-11-21T13:20:00Z'));
    expect(resolveSelector([...list, yesterday], '13:30', { now, offsetMinutes: 0 })).toBe(yesterday);
  });

  it('finds a suspect snapshot by its id only', () => {
    const suspect = list[2] as Snapshot;
    expect(resolveSelector(list, suspect.id, { now })).toBe(suspect);
    expect(found('12:50')).toBe('12:45');
  });

  it.each([
    ['12:45', 'INPUT_INVALID'],
    ['25:00', 'INPUT_INVALID'],
    ['', 'INPUT_INVALID'],
    ['../x', 'INPUT_INVALID'],
    ['2026-13-01T00:00Z', 'INPUT_INVALID'],
    ['2026-02-30T00:00Z', 'INPUT_INVALID'],
    ['2026-11-22T12:45', 'INPUT_INVALID'],
    ['~4', 'NOT_FOUND'],
    ['no-such-id', 'NOT_FOUND'],
    ['2026-11-22T12:29Z', 'NOT_FOUND'],
  ])('refuses %s without a zone: %s', (selector, expected) => {
    expect(code(selector)).toBe(expected);
  });

  it('always takes the newest that ended in time', () => {
    const ends = fc.uniqueArray(fc.integer({ min: 0, max: 5000 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(ends, fc.integer({ min: 0, max: 5000 }), fc.boolean(), (minutes, limit, strictlyBefore) => {
        const snapshots = minutes.map((minute) => snapshotAt(minute * MINUTE));
        const fitting = minutes.filter((minute) => (strictlyBefore ? minute < limit : minute <= limit));
        const selector = new Date(limit * MINUTE).toISOString();
        const resolve = () => resolveSelector(snapshots, selector, { now: 0, strictlyBefore });
        if (fitting.length === 0) expect(resolve).toThrow(OverdubError);
        else expect(Date.parse(resolve().endedAt)).toBe(Math.max(...fitting) * MINUTE);
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type RetentionPolicy, snapshotsToRemove } from './retention.ts';
import type { Snapshot } from './snapshot.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const none: RetentionPolicy = { last: 0, hourly: 0, daily: 0, withinSeconds: 0 };

function snapshotAt(endMs: number, over: Partial<Snapshot> = {}): Snapshot {
  const end = new Date(endMs).toISOString();
  return {
    id: `s${endMs}`,
    server: 'web-1',
    manifest: { root: '0'.repeat(64), entries: 0, bytes: 0 },
    startedAt: end,
    endedAt: end,
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

const now = Date.parse('2026-11-22T12:00:00Z');
const everyTenMinutes = Array.from({ length: 432 }, (_, at) => snapshotAt(now - at * 10 * MINUTE));
const kept = (snapshots: readonly Snapshot[], policy: RetentionPolicy) => {
  const removed = new Set(snapshotsToRemove(snapshots, policy, now));
  return snapshots.filter((snapshot) => !removed.has(snapshot));
};

const record = fc.record({
  minute: fc.integer({ min: -20_000, max: 10 }),
  pinned: fc.boolean(),
  suspect: fc.boolean(),
});
const snapshots = fc
  .uniqueArray(record, { selector: (one) => one.minute, maxLength: 80 })
  .map((all) =>
    all.map(({ minute, pinned, suspect }) => snapshotAt(now + minute * MINUTE, { pinned, suspect })),
  );
const policy = fc.record({
  last: fc.nat(12),
  hourly: fc.nat(30),
  daily: fc.nat(20),
  withinSeconds: fc.nat(100_000),
});

describe('snapshotsToRemove', () => {
  it('keeps the newest n', () => {
    expect(kept(everyTenMinutes, { ...none, last: 5 })).toEqual(everyTenMinutes.slice(0, 5));
  });

  it('keeps the newest of each of the last hours and days, in UTC', () => {
    const hours = kept(everyTenMinutes, { ...none, hourly: 3 }).map((one) => one.endedAt.slice(11, 16));
    expect(hours).toEqual(['12:00', '11:50', '10:50']);
    const days = kept(everyTenMinutes, { ...none, daily: 3 }).map((one) => one.endedAt.slice(0, 16));
    expect(days).toEqual(['2026-11-22T12:00', '2026-11-21T23:50', '2026-11-20T23:50']);
  });

  it('counts only hours that have a snapshot', () => {
    const sparse = [1, 100, 300].map((hours) => snapshotAt(now - hours * HOUR));
    expect(kept(sparse, { ...none, hourly: 3 })).toEqual(sparse);
  });

  it('protects what is young from a flood of new ones', () => {
    const flood = Array.from({ length: 1000 }, (_, at) => snapshotAt(now - at * 1000));
    const good = snapshotAt(now - 50 * MINUTE);
    expect(kept([...flood, good], { ...none, last: 10, withinSeconds: 3600 })).toContain(good);
  });

  it('lets suspect ones take no place of good ones', () => {
    const suspects = Array.from({ length: 20 }, (_, at) => snapshotAt(now - at * MINUTE, { suspect: true }));
    const good = [30, 40].map((minutes) => snapshotAt(now - minutes * MINUTE));
    expect(kept([...suspects, ...good], { ...none, last: 2 })).toEqual([...suspects.slice(0, 2), ...good]);
  });

  it('lets evidence go when it is older than any rule of time reaches, and never for lack of newer evidence', () => {
    const [young, older, old] = [13, 15, 100].map((days) =>
      snapshotAt(now - days * 24 * HOUR, { suspect: true }),
    ) as [Snapshot, Snapshot, Snapshot];
    const rules = { last: 5, hourly: 24, daily: 14, withinSeconds: 3600 };
    expect(kept([young, older, old], rules)).toEqual([young]);
    expect(kept([young, older, old], { ...none, last: 2 })).toEqual([young, older]);
  });

  it('keeps evidence by the same rules as good ones', () => {
    const suspects = everyTenMinutes.map((one) => ({ ...one, suspect: true }));
    const rules = { ...none, last: 3, hourly: 5, daily: 2 };
    const expected = kept(everyTenMinutes, rules).map(({ id }) => id);
    expect(kept(suspects, rules).map(({ id }) => id)).toEqual(expected);
  });

  it('returns the oldest first', () => {
    const removed = snapshotsToRemove(everyTenMinutes, { ...none, last: 430 }, now);
    expect(removed).toEqual([everyTenMinutes[431], everyTenMinutes[430]]);
  });

  it('never removes pinned, young, or the newest good one, and removes no more a second time', () => {
    fc.assert(
      fc.property(snapshots, policy, (all, rules) => {
        const removed = snapshotsToRemove(all, rules, now);
        const left = all.filter((one) => !removed.includes(one));
        for (const one of removed) {
          expect(one.pinned).toBe(false);
          expect(Date.parse(one.endedAt)).toBeLessThanOrEqual(now - rules.withinSeconds * 1000);
        }
        const good = all.filter((one) => !one.suspect);
        const newest = good.find((one) => good.every((other) => other.endedAt <= one.endedAt));
        if (newest !== undefined) expect(left).toContain(newest);
        expect(snapshotsToRemove(left, rules, now)).toEqual([]);
      }),
    );
  });
});

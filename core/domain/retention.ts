import type { Snapshot } from './snapshot.ts';

/** How many snapshots are kept. A snapshot stays if any rule keeps it; pinned ones always stay. */
export interface RetentionPolicy {
  /** Keep the newest n. */
  readonly last: number;
  /** Keep the newest of each of the last n hours / days that have one. */
  readonly hourly: number;
  readonly daily: number;
  /** Keep everything younger than this, by the appliance's clock: a flood of new ones cannot evict it. */
  readonly withinSeconds: number;
}

export const DEFAULT_RETENTION: RetentionPolicy = { last: 10, hourly: 24, daily: 14, withinSeconds: 3600 };

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/**
 * The snapshots of one server that no rule keeps, oldest first. Ages count from `endedAt`; hours and days are
 * UTC's. Pinned ones stay and take no other's place. Suspect ones are counted by themselves: an intruder's states must not
 * push the good ones out. No newer ones push them out either, so they go when they are older than any rule of time
 * reaches. The newest good one stays whatever the policy says.
 */
export function snapshotsToRemove(
  snapshots: readonly Snapshot[],
  policy: RetentionPolicy,
  nowMs: number,
): Snapshot[] {
  const newestFirst = [...snapshots].sort((a, b) => endOf(b) - endOf(a) || (a.id < b.id ? 1 : -1));
  const reach = Math.max(policy.hourly * HOUR, policy.daily * DAY, policy.withinSeconds * 1000);
  const isPast = (snapshot: Snapshot) => snapshot.suspect && reach > 0 && endOf(snapshot) <= nowMs - reach;
  const ranked = [false, true].map((suspect) =>
    newestFirst.filter((one) => !one.pinned && one.suspect === suspect && !isPast(one)),
  );
  const kept = new Set<Snapshot>([
    ...snapshots.filter((snapshot) => snapshot.pinned),
    ...snapshots.filter((snapshot) => endOf(snapshot) > nowMs - policy.withinSeconds * 1000),
    ...newestFirst.filter((snapshot) => !snapshot.suspect).slice(0, 1),
    ...ranked.flatMap((each) => [
      ...each.slice(0, policy.last),
      ...newestOfEach(each, HOUR, policy.hourly),
      ...newestOfEach(each, DAY, policy.daily),
    ]),
  ]);
  return newestFirst.filter((snapshot) => !kept.has(snapshot)).reverse();
}

function newestOfEach(newestFirst: readonly Snapshot[], spanMs: number, count: number): Snapshot[] {
  const bySpan = new Map<number, Snapshot>();
  for (const snapshot of newestFirst) {
    const span = Math.floor(endOf(snapshot) / spanMs);
    if (!bySpan.has(span)) bySpan.set(span, snapshot);
  }
  return [...bySpan.values()].slice(0, count);
}

function endOf(snapshot: Snapshot): number {
  return Date.parse(snapshot.endedAt);
}

/** When a server's next snapshot is due: pure, so that the agent and the appliance agree on it. */

import type { SnapshotSchedule } from './server.ts';

/**
 * A server's fixed share of the jitter, milliseconds: 0 ≤ share < `jitterSeconds` × 1000. The same name always has
 * the same share; a fleet's names spread evenly.
 */
export function jitterShareMs(schedule: SnapshotSchedule, serverName: string): number {
  return Math.floor(schedule.jitterSeconds * 1000 * fractionOf(serverName));
}

/**
 * When the next run begins, milliseconds since the epoch. Runs are due at multiples of the interval plus the
 * server's share, so that intervals do not drift. One that passed while the machine was off is caught up: once,
 * now. A server that never ran is due after its share.
 */
export function nextRun(
  schedule: SnapshotSchedule,
  lastRunMs: number | undefined,
  serverName: string,
  nowMs: number,
): number {
  const share = jitterShareMs(schedule, serverName);
  if (lastRunMs === undefined) return nowMs + share;
  const every = schedule.everySeconds * 1000;
  const due = (Math.floor((lastRunMs - share) / every) + 1) * every + share;
  return Math.max(due, nowMs);
}

/** FNV-1a with a final mix (murmur3's), as a fraction of one: short, similar names differ in every bit. */
function fractionOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

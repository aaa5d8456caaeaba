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

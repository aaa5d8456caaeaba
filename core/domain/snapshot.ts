import type { ManifestRef, SkippedPath } from './manifest.ts';
import type { MasterRef } from './master.ts';

export type Consistency = 'application' | 'crash' | 'fuzzy';
export type SnapshotReason = 'schedule' | 'manual' | 'safety';

/** One overlay at one time. Exists once its commit object is durable in the repository. */
export interface Snapshot {
  /** Sorts by time of beginning; unique. */
  readonly id: string;
  readonly server: string;
  readonly master?: MasterRef;
  readonly parent?: string;
  readonly manifest: ManifestRef;
  /** Appliance clock, ISO 8601 UTC. */
  readonly startedAt: string;
  readonly endedAt: string;
  readonly consistency: Consistency;
  readonly reason: SnapshotReason;
  /** Taken as evidence, or given up by a rollback: `latest`, move and drill skip it. */
  readonly suspect: boolean;
  readonly pinned: boolean;
  readonly machineId?: string;
  /** What was left out, capped; `skippedTotal` counts all. */
  readonly skipped: readonly SkippedPath[];
  readonly skippedTotal: number;
  readonly stats: SnapshotStats;
}

/** Bytes as counted at the appliance's socket side: request and response bodies of the snapshot. */
export interface SnapshotStats {
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Repository growth. */
  readonly bytesStored: number;
  readonly filesChanged: number;
}

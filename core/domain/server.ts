import type { MasterRef } from './master.ts';
import type { RetentionPolicy } from './retention.ts';

/** What travels with the server: one set per server, given to mkfs, so that fstab stays true anywhere. */
export interface ServerIdentity {
  readonly hostname: string;
  /** 32 lower-case hex digits (machine-id(5)). */
  readonly machineId: string;
  readonly rootUuid: string;
  /** FAT volume id, 8 upper-case hex digits without the dash. */
  readonly espId: string;
}

export interface SnapshotSchedule {
  readonly everySeconds: number;
  /** Up to this many seconds are added, a fixed share per server, so that a fleet does not move as one. */
  readonly jitterSeconds: number;
}

/** Changed only by operations and `server set`; every other intent queues. */
export type ServerState =
  | 'unassigned'
  | 'enrolled'
  | 'provisioning'
  | 'running'
  | 'rolling-back'
  | 'moving'
  | 'failed';

/** How a server's machine compresses new contents that its snapshots send: to fewer bytes, or in less time of its processor. */
export const COMPRESSIONS = ['small', 'fast'] as const;
export type Compression = (typeof COMPRESSIONS)[number];
export const DEFAULT_COMPRESSION: Compression = 'small';

export function isCompression(text: string): text is Compression {
  return COMPRESSIONS.some((each) => each === text);
}

/** A role with an identity. Runs on at most one machine at a time. */
export interface Server {
  readonly name: string;
  /** Absent for an enrolled server that has no master: its overlays are against nothing. */
  readonly master?: MasterRef;
  readonly identity: ServerIdentity;
  readonly state: ServerState;
  readonly machineId?: string;
  /** Counts assignments; a machine that comes up with an older one is held. */
  readonly generation: number;
  readonly schedule?: SnapshotSchedule;
  readonly retention: RetentionPolicy;
  /** Extra excludes, gitignore-like globs relative to the root (`var/cache/**`). */
  readonly excludes: readonly string[];
  /** Snapshots send at most so many bytes a second; absent: as the line goes. Restores are never slowed. */
  readonly bandwidth?: number;
  /** Absent: {@link DEFAULT_COMPRESSION}. */
  readonly compression?: Compression;
  /** Reservation that follows the server (full DHCP mode). */
  readonly address?: string;
  /** Chosen drivers, kept on the record. */
  readonly drivers: { readonly imager: string };
  readonly createdAt: string;
}

/** RFC 1123 host label, lower-case: server names become host names. */
export function isServerName(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text);
}

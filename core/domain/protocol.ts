/** Messages between appliance and agent (JSON over HTTP, `docs/agent-protocol.md`). Protocol N serves N−1. */

import type { ErrorBody } from '../errors.ts';
import type { MachineFacts, Whereabouts } from './machine.ts';
import type { ManifestRef, SkippedPath } from './manifest.ts';
import type { MasterRef } from './master.ts';
import type { Progress } from './operation.ts';
import type { Compression, ServerIdentity, SnapshotSchedule } from './server.ts';
import type { Consistency, Snapshot, SnapshotReason } from './snapshot.ts';

export const PROTOCOL_VERSION = 1;

/** Where commands look for the appliance unless `OVERDUB_URL` or `--url` says otherwise: on this very host. */
export const DEFAULT_APPLIANCE_URL: string = 'http://127.0.0.1:7077';

/** POST /agent/v1/hello. One of `nonce` (ramdisk), `credential` (installed agent), `resume` (an earlier session). */
export interface Hello {
  readonly protocol: number;
  readonly where: Whereabouts;
  readonly bootId: string;
  readonly nonce?: string;
  readonly credential?: string;
  /** The token of an earlier session of the same boot: nonces work once, appliances restart. */
  readonly resume?: string;
  readonly facts?: MachineFacts;
  readonly server?: string;
  readonly generation?: number;
}

export interface Welcome {
  /** Bearer token of this session. */
  readonly session: string;
  readonly machineId?: string;
  readonly machineName?: string;
  /** Held machines wait and may do nothing else. */
  readonly standing: 'held' | 'waiting' | 'assigned';
  readonly server?: string;
  readonly schedule?: SnapshotSchedule;
  /** Appliance clock, so that schedules follow it. */
  readonly now: string;
  /** Reads may ask for groups (`ReadHead.groupBytes`, frames of the type `later`). */
  readonly groups?: true;
  /** Wants of a fetch in groups may follow one another while they are answered (`ReadHead.streams`). */
  readonly streams?: true;
}

/** GET /agent/v1/task?wait=SECONDS: what the agent is to do now, and what it should know anew. */
export interface Orders {
  readonly task?: AgentTask;
  readonly standing: Welcome['standing'];
  readonly machineName?: string;
  readonly server?: string;
  readonly schedule?: SnapshotSchedule;
  /** Digest of the bundle the appliance serves: an idle agent that runs another one restarts. */
  readonly bundle?: string;
  readonly now: string;
}

interface TaskBase {
  /** Idempotency key: operation id and step name. */
  readonly id: string;
  readonly operation: string;
}

/** What every task that touches an image on a machine needs to know of its server. */
export interface TaskServer {
  readonly name: string;
  readonly generation: number;
  readonly identity: ServerIdentity;
  readonly imager: string;
  readonly excludes: readonly string[];
  /** Snapshots send at most so many bytes a second. */
  readonly bandwidth?: number;
  /** Absent: `DEFAULT_COMPRESSION`. */
  readonly compression?: Compression;
  readonly master?: MasterRef;
}

/** Ramdisk: partition, write the image, personalise when `fresh`, render, install the agent. */
export interface InstallTask extends TaskBase {
  readonly kind: 'install';
  readonly server: TaskServer;
  readonly image: ManifestRef;
  readonly neededBytes: number;
  readonly diskPin?: string;
  /** Names of disks that the image's kernel could not drive: not for a server without a pin. */
  readonly avoidDisks?: readonly string[];
  readonly fresh: boolean;
  /** The installed agent's credential, valid for this server and generation only. */
  readonly credential: string;
}

/** Server, or ramdisk with `trust: 'nothing'` on the unmounted disk. */
export interface SnapshotTask extends TaskBase {
  readonly kind: 'snapshot';
  readonly server: TaskServer;
  readonly reason: SnapshotReason;
  /** `stat`: the agent's stat cache may vouch for unchanged files. `nothing`: hash all content. */
  readonly trust: 'stat' | 'nothing';
  readonly suspect: boolean;
  /** Offer every content, unchanged ones too: the appliance lacks some that it had. */
  readonly everything?: true;
  /** What the server probably holds, by and large: contents found there need not be cut and offered anew. */
  readonly known?: ManifestRef;
}

/** Ramdisk: make the disk equal to the image again, render, renew the agent. */
export interface RestoreTask extends TaskBase {
  readonly kind: 'restore';
  readonly server: TaskServer;
  readonly image: ManifestRef;
  readonly dryRun: boolean;
  readonly keep: readonly string[];
  readonly only: readonly string[];
  readonly credential: string;
}

/** What a running machine needs to start the ramdisk by itself. */
export interface RamdiskBoot {
  /** Names of boot artifacts, fetched from `/boot/<name>`. */
  readonly kernel: string;
  readonly initrd: string;
  readonly kernelArguments: readonly string[];
  /** For this one boot, as in a boot script. */
  readonly nonce: string;
}

/** Leave what runs now: into the ramdisk (kexec, else reboot: the boot plan decides), or to the local disk. */
export interface RebootTask extends TaskBase {
  readonly kind: 'reboot';
  readonly to: 'ramdisk' | 'local';
  /** For kexec into the ramdisk; absent: through the firmware. */
  readonly ramdisk?: RamdiskBoot;
}

export type AgentTask = InstallTask | SnapshotTask | RestoreTask | RebootTask;

export interface InstallResult {
  readonly diskPin: string;
  readonly writtenBytes: number;
  readonly bytesReceived: number;
  readonly bytesSent?: number;
}
export interface SnapshotResult {
  readonly snapshot: Snapshot;
}
export interface RestoreResult {
  readonly written: number;
  readonly removed: number;
  readonly metadataOnly: number;
  readonly writtenBytes: number;
  readonly bytesReceived: number;
  readonly bytesSent?: number;
  readonly changes: readonly { readonly path: string; readonly action: string }[];
}

export interface RebootResult {
  readonly by: 'kexec' | 'firmware';
  /** Why not by kexec, where it was asked for. */
  readonly reason?: string;
}

export type AgentTaskResult<T extends AgentTask> = T extends InstallTask
  ? InstallResult
  : T extends SnapshotTask
    ? SnapshotResult
    : T extends RestoreTask
      ? RestoreResult
      : RebootResult;

/** POST /agent/v1/tasks/:id */
export type TaskReport =
  | { readonly state: 'running'; readonly progress: Progress }
  | { readonly state: 'done'; readonly result: unknown }
  | { readonly state: 'failed'; readonly error: ErrorBody };

/** The answer to a report. `go` false: nobody waits for this task any more, stop it. */
export interface TaskAnswer {
  readonly go: boolean;
}

/** POST /agent/v1/snapshots */
export interface SnapshotRequest {
  readonly server: string;
  readonly reason: SnapshotReason;
}

/** POST /agent/v1/restores */
export interface RestoreRequest {
  readonly server: string;
  readonly selector: string;
  readonly dryRun: boolean;
  readonly keep: readonly string[];
  readonly only: readonly string[];
}

/** POST /agent/v1/transfers: begins sending a snapshot. */
export interface TransferRequest {
  readonly task: string;
  /** How long ago the scan began. */
  readonly ageMs: number;
  /** Root of the manifest that the agent's record of earlier contents belongs to. */
  readonly base?: string;
}

export interface TransferOffer {
  readonly transfer: string;
  /** The appliance has the base named, among the server's snapshots or as its master. */
  readonly baseKnown: boolean;
  /** Codecs whose deltas from signatures the appliance can apply. */
  readonly codecs: readonly string[];
  /** Chunks that nothing resembles may come in groups of so many bytes at most; absent: one by one. */
  readonly groupBytes?: number;
  /** Set when this task was committed already: nothing is left to send. */
  readonly committed?: Snapshot;
}

/** POST /agent/v1/transfers/:id/commit */
export interface CommitRequest {
  readonly manifest: ManifestRef;
  readonly consistency: Consistency;
  readonly skipped: readonly SkippedPath[];
  readonly skippedTotal: number;
  readonly filesChanged: number;
}

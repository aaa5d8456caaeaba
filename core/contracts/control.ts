/** The one typed face of a running appliance: embedders, api-http and (through it) the CLI all use this. */

import type { Event } from '../domain/event.ts';
import type { Machine } from '../domain/machine.ts';
import type { Entry, ManifestRef } from '../domain/manifest.ts';
import type { Master } from '../domain/master.ts';
import type { Operation, OperationState } from '../domain/operation.ts';
import type { RetentionPolicy } from '../domain/retention.ts';
import type { Compression, Server, SnapshotSchedule } from '../domain/server.ts';
import type { Snapshot } from '../domain/snapshot.ts';
import type { PowerAction, PowerReport } from './power.ts';
import type { RepositoryStats, RepositoryUsage } from './repository.ts';

export type Role = 'viewer' | 'operator' | 'admin';

export interface TokenInfo {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly createdAt: string;
  /** Limits an operator token to one server (enrolled agents). */
  readonly server?: string;
}

export interface PluginStatus {
  readonly name: string;
  readonly version?: string;
  readonly state: 'loaded' | 'running' | 'failed' | 'stopped' | 'unavailable';
  readonly optional: boolean;
  readonly error?: string;
}

export interface CreateServer {
  readonly name: string;
  /** `web@3`, `web` (newest), or absent for an enrolled server without a master. */
  readonly master?: string;
  readonly schedule?: SnapshotSchedule;
  readonly retention?: Partial<RetentionPolicy>;
  readonly excludes?: readonly string[];
  /** Bytes a second that snapshots may send. */
  readonly bandwidth?: number;
  /** Of what snapshots send; absent: `DEFAULT_COMPRESSION`. */
  readonly compression?: Compression;
  readonly address?: string;
}

export type ServerChange = Partial<Omit<CreateServer, 'name' | 'master'>> & {
  readonly clearSchedule?: boolean;
  readonly clearBandwidth?: boolean;
};

export interface DiffEntry {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'content' | 'metadata' | 'type';
  readonly before?: Entry;
  readonly after?: Entry;
}

export interface LogEntry {
  readonly snapshot: Snapshot;
  readonly change: DiffEntry['change'];
  readonly after?: Entry;
}

/** `by` names who asked: a token's name, `cli`, `rule`. Every call may reject with an OverdubError. */
export interface ApplianceControl {
  info(): Promise<{
    version: string;
    startedAt: string;
    plugins: PluginStatus[];
    state: string;
    repository: RepositoryStats;
  }>;

  /** All, or those that claim an SMBIOS UUID. */
  listMachines(filter?: { readonly uuid?: string }): Promise<Machine[]>;
  /** By id, name or MAC. */
  getMachine(ref: string): Promise<Machine>;
  acceptMachine(ref: string, by: string): Promise<Machine>;
  rejectMachine(ref: string, by: string): Promise<Machine>;
  labelMachine(ref: string, labels: Readonly<Record<string, string | null>>, by: string): Promise<Machine>;
  renameMachine(ref: string, name: string, by: string): Promise<Machine>;
  forgetMachine(ref: string, by: string): Promise<void>;
  /** Switches a machine's power through its driver, or asks for its state; resolves when it has taken effect. */
  powerMachine(ref: string, action: PowerAction, by: string): Promise<PowerReport>;

  /** Starts an `import` operation; `source` is a path on the appliance. */
  importMaster(
    request: { name: string; source: string; allowUnbootable?: boolean },
    by: string,
  ): Promise<Operation>;
  /** Starts an `optimise` operation: stored data is compressed again, harder, with half of one processor at most. */
  optimise(by: string): Promise<Operation>;
  listMasters(): Promise<Master[]>;
  getMaster(ref: string): Promise<Master>;
  removeMaster(ref: string, by: string): Promise<void>;

  createServer(request: CreateServer, by: string): Promise<Server>;
  listServers(): Promise<Server[]>;
  getServer(name: string): Promise<Server>;
  setServer(name: string, change: ServerChange, by: string): Promise<Server>;
  removeServer(name: string, by: string): Promise<void>;
  /** Starts a `provision` operation. */
  assignServer(name: string, machine: string, by: string): Promise<Operation>;
  releaseServer(name: string, by: string): Promise<Server>;

  takeSnapshot(server: string, by: string): Promise<Operation>;
  listSnapshots(server: string): Promise<Snapshot[]>;
  /** `12:45`, ISO time, `latest`, `~2`, or an id; times without offset are refused here. */
  resolveSnapshot(
    server: string,
    selector: string,
    options?: { strictlyBefore?: boolean },
  ): Promise<Snapshot>;
  pinSnapshot(server: string, selector: string, pinned: boolean, by: string): Promise<Snapshot>;
  removeSnapshot(server: string, selector: string, by: string): Promise<void>;

  rollback(
    request: {
      server: string;
      to: string;
      strictlyBefore?: boolean;
      dryRun?: boolean;
      keep?: readonly string[];
      only?: readonly string[];
      safetySnapshot?: boolean;
    },
    by: string,
  ): Promise<Operation>;
  move(request: { server: string; machine: string }, by: string): Promise<Operation>;

  /** Starts a `gc` operation: frees what no snapshot and no master needs; with `dryRun` only says what that is. */
  collectGarbage(request: { dryRun?: boolean }, by: string): Promise<Operation>;

  /** Starts a `verify` operation: looks for damage; its result is a {@link VerifyReport}. INPUT_INVALID. */
  verifyRepository(request: { readData?: boolean; samplePercent?: number }, by: string): Promise<Operation>;

  /** What the repository holds, and for whom. Counted anew: seconds in a large one. */
  repositoryUsage(): Promise<RepositoryUsage>;
  /** Starts a `repair` operation: gets damaged chunks from the machines that have them; a {@link RepairReport}. */
  repairRepository(request: { readData?: boolean }, by: string): Promise<Operation>;

  listOperations(filter?: { server?: string; state?: OperationState; limit?: number }): Promise<Operation[]>;
  getOperation(id: string): Promise<Operation>;
  cancelOperation(id: string, by: string): Promise<Operation>;
  /** Resolves when the operation ends; `onChange` sees every change on the way. */
  waitOperation(
    id: string,
    options: { signal?: AbortSignal; onChange?: (operation: Operation) => void },
  ): Promise<Operation>;

  /** A snapshot reference `web-1@12:45`, a master `web@3`, as an image. */
  resolveImage(ref: string): Promise<{ manifest: ManifestRef; label: string }>;
  diff(from: string, to: string): AsyncIterable<DiffEntry>;
  log(server: string, path: string): AsyncIterable<LogEntry>;
  /** Entry and bytes of one file of an image. */
  readFile(ref: string, path: string): Promise<{ entry: Entry; content: AsyncIterable<Uint8Array> }>;
  listFiles(ref: string, under?: string): AsyncIterable<Entry>;

  createToken(
    request: { name: string; role: Role; server?: string },
    by: string,
  ): Promise<TokenInfo & { secret: string }>;
  listTokens(): Promise<TokenInfo[]>;
  revokeToken(id: string, by: string): Promise<void>;
  /** Who a bearer secret belongs to. */
  authenticate(secret: string): Promise<TokenInfo | undefined>;

  /** Events from now on. */
  events(signal: AbortSignal): AsyncIterable<Event>;
}

/** The seam between the agent gateway (wire, sessions, transfer) and the operations (who may do what). */

import type { FastifyInstance } from 'fastify';
import type { ManifestRef } from '../domain/manifest.ts';
import type { Hello, RestoreTask, SnapshotTask, Welcome } from '../domain/protocol.ts';
import type { Snapshot, SnapshotReason } from '../domain/snapshot.ts';
import type { AgentTasks } from './agent-tasks.ts';

/** Who an agent session speaks for. */
export interface AgentIdentity {
  readonly machineId?: string;
  readonly server?: string;
  readonly generation?: number;
  readonly standing: Welcome['standing'];
  /** Name of whoever asked, for the audit log: `agent of web-1`, or a token's name. */
  readonly by: string;
}

/** Decided by the core's operations; asked by the gateway. Every method may reject with an OverdubError. */
export interface AgentPolicy {
  /** Exchanges a nonce or credential (an installed agent's, or an API token) for an identity. UNAUTHORIZED. */
  admit(
    hello: Hello,
    remote: { readonly ip: string },
  ): Promise<{ identity: AgentIdentity; welcome: Omit<Welcome, 'session' | 'now'> }>;
  /**
   * Says anew what an identity admitted earlier may do now: asked when a session is renewed (a ramdisk's agent
   * has no second nonce) and while it waits for work. Absent: the standing never changes within a session.
   */
  readmit?(
    identity: AgentIdentity,
    hello: Hello,
  ): Promise<{ identity: AgentIdentity; welcome: Omit<Welcome, 'session' | 'now'> }>;
  /** Opens a snapshot operation that the agent itself asked for (its schedule, or the CLI on a directory). */
  beginSnapshot(
    identity: AgentIdentity,
    request: { server: string; reason: SnapshotReason },
  ): Promise<SnapshotTask>;
  /** Ends such an operation. */
  endSnapshot(task: SnapshotTask, outcome: { snapshot: Snapshot } | { error: unknown }): Promise<void>;
  /** An image for `overdub agent restore|rollback --root DIR`: `selector` as in design §1, default `latest`. */
  beginRestore(
    identity: AgentIdentity,
    request: {
      server: string;
      selector: string;
      dryRun: boolean;
      keep: readonly string[];
      only: readonly string[];
    },
  ): Promise<RestoreTask>;
  /** Committed snapshots: retention, events, server record. Called once, after the commit is durable. */
  snapshotCommitted(snapshot: Snapshot): Promise<void>;
  /** May this identity read this image? Its own server's snapshots and its master, nobody else's. */
  mayRead(identity: AgentIdentity, image: ManifestRef): Promise<boolean>;
}

export interface Gateway extends AgentTasks {
  /** Adds `/agent/v1/*`. */
  register(server: FastifyInstance): Promise<void>;
  close(): Promise<void>;
}

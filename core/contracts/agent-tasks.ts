/** How operations have work done on machines. Implemented by the gateway, carried out by the agent. */

import type { MachineFacts, Whereabouts } from '../domain/machine.ts';
import type { Progress } from '../domain/operation.ts';
import type { AgentTask, AgentTaskResult } from '../domain/protocol.ts';

/** A live agent session. */
export interface Presence {
  readonly machineId?: string;
  readonly server?: string;
  readonly where: Whereabouts;
  /** Changes at every boot of the machine. */
  readonly bootId: string;
  readonly generation?: number;
  readonly facts?: MachineFacts;
  readonly since: string;
}

export interface AgentTarget {
  /** One of the two. */
  readonly machineId?: string;
  readonly server?: string;
  readonly where: Whereabouts;
}

export interface RunTaskOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  /** The agent may be away this long (reboot, network) before AGENT_LOST. */
  readonly absenceMs: number;
}

export interface AgentTasks {
  present(target: AgentTarget): Presence | undefined;
  /** Resolves with the first session that matches, now or later. Rejects only by the signal. */
  waitFor(
    target: AgentTarget & { readonly notBootId?: string; readonly generation?: number },
    signal: AbortSignal,
  ): Promise<Presence>;
  /** Has waiting agents ask for their orders anew: their schedule has changed. */
  recall(target: AgentTarget): void;
  /**
   * Has a task carried out once: `task.id` is the idempotency key. Safe to call again after an appliance restart:
   * the agent goes on or replays its result. Rejects with the agent's own coded error.
   */
  run<T extends AgentTask>(
    target: AgentTarget,
    task: T,
    options: RunTaskOptions,
  ): Promise<AgentTaskResult<T>>;
}

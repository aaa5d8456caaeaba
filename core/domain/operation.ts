import type { ErrorBody } from '../errors.ts';

export type OperationKind =
  | 'provision'
  | 'snapshot'
  | 'rollback'
  | 'move'
  | 'import'
  | 'prune'
  | 'gc'
  | 'verify'
  | 'repair'
  | 'optimise';
/** `waiting`: needs somebody (a machine to be power-cycled, an approval); `attention` says what. */
export type OperationState = 'queued' | 'running' | 'waiting' | 'done' | 'failed' | 'cancelled';

export interface Progress {
  readonly doneBytes?: number;
  readonly totalBytes?: number;
  readonly text?: string;
}

export interface OperationStep {
  readonly name: string;
  readonly state: 'pending' | 'running' | 'done' | 'failed';
  readonly startedAt?: string;
  readonly endedAt?: string;
  readonly attempts: number;
  readonly progress?: Progress;
}

/** A durable, resumable piece of work. The list of operations is the audit log. */
export interface Operation {
  readonly id: string;
  readonly kind: OperationKind;
  readonly server?: string;
  readonly machineId?: string;
  readonly state: OperationState;
  readonly attention?: string;
  readonly requestedBy: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** What finished steps left for later ones; survives restarts. */
  readonly memory: Readonly<Record<string, unknown>>;
  readonly steps: readonly OperationStep[];
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: ErrorBody;
  readonly createdAt: string;
  readonly endedAt?: string;
}

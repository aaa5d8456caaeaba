/** What an operation consists of: named steps, each safe to run again after it was cut off anywhere. */

import type { Operation, OperationKind, Progress } from '../domain/operation.ts';
import type { OverdubError } from '../errors.ts';

export interface StepContext {
  /** The operation as it is now; `memory` holds what earlier steps remembered. */
  readonly operation: Operation;
  /** Aborts on cancellation, deadline and stop of the appliance. */
  readonly signal: AbortSignal;
  /** Adds to the operation's memory; durable when it resolves. */
  remember(facts: Readonly<Record<string, unknown>>): Promise<void>;
  progress(progress: Progress): void;
  /**
   * Says what somebody has to do (`waiting`); without text, that it has been done (`running`). Progress and the end
   * of the step say so too.
   */
  attention(text?: string): Promise<void>;
}

export interface StepDefinition {
  readonly name: string;
  /** Counted from the start of the step, and again from a restart of the appliance. Then TIMED_OUT. */
  readonly deadlineMs: number;
  /** From its start on the operation can no longer be cancelled. */
  readonly destructive?: true;
  run(context: StepContext): Promise<void>;
}

export interface OperationDefinition {
  readonly kind: OperationKind;
  /** The same steps for the same parameters, always: an operation is taken up again by their names. */
  steps(parameters: Operation['parameters']): readonly StepDefinition[];
  /** Brings records back in order after failure or cancellation. May run again after a crash. */
  undo?(operation: Operation, error: OverdubError, signal: AbortSignal): Promise<void>;
}

/** Memory keys the engine and the boot plan read themselves. */
export interface CommonMemory {
  /** Becomes `operation.result`. */
  readonly result?: Readonly<Record<string, unknown>>;
  /** What this machine shall boot while the operation is open. */
  readonly bootMachine?: string;
  readonly boot?: 'ramdisk' | 'local';
  /** Driven by an agent, not by the engine. */
  readonly external?: true;
}

/** The memory in the shape its own definition wrote it. */
export function recall<M extends object>(operation: Operation): Partial<M> & CommonMemory {
  return operation.memory as Partial<M> & CommonMemory;
}

/** Work on the repository as a whole: one at a time. */
const ON_REPOSITORY: ReadonlySet<OperationKind> = new Set<OperationKind>([
  'gc',
  'verify',
  'repair',
  'optimise',
]);

/** Names work on one server, one master or the repository that must not overlap; absent: overlaps with anything. */
export function exclusionKey(
  operation: Pick<Operation, 'kind' | 'server' | 'parameters'>,
): string | undefined {
  if (ON_REPOSITORY.has(operation.kind)) return 'repository';
  if (operation.server !== undefined) return `server/${operation.server}`;
  return operation.kind === 'import' ? `master/${String(operation.parameters.name)}` : undefined;
}

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;

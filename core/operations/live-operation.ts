/** An operation that has not ended: its newest state in memory, every change durable before anyone is told. */

import type { OperationRecords } from '../catalogue/operations.ts';
import type { Operation, OperationStep, Progress } from '../domain/operation.ts';
import type { OverdubError } from '../errors.ts';

/** Progress is written this seldom; everything else at once. */
const PROGRESS_SAVE_MS = 5000;

export interface LiveOperation {
  readonly operation: Operation;
  readonly abort: AbortController;
  /** Set once somebody asked for cancellation; takes effect before the next step. */
  cancelled: OverdubError | undefined;
  /** A step that cannot be taken back has begun. */
  committed: boolean;
  active: boolean;
  change(patch: Partial<Operation> | ((operation: Operation) => Operation)): Promise<void>;
  changeStep(index: number, patch: Partial<OperationStep>): Promise<void>;
  /** Also takes a plea back: whoever was waited for is at work. */
  progress(index: number, progress: Progress, nowMs: number): void;
  watch(listener: (operation: Operation) => void): () => void;
}

export function liveOperation(
  first: Operation,
  records: OperationRecords,
  onSaveFailure: (error: unknown) => void,
): LiveOperation {
  let operation = first;
  let saving: Promise<void> = Promise.resolve();
  let progressSavedAt = Number.NEGATIVE_INFINITY;
  const listeners = new Set<(operation: Operation) => void>();
  const tell = () => {
    for (const listener of listeners) listener(operation);
  };
  const save = () => {
    const snapshot = operation;
    saving = saving.catch(() => undefined).then(() => records.save(snapshot));
    return saving;
  };
  const withStep = (index: number, patch: Partial<OperationStep>): OperationStep[] =>
    operation.steps.map((step, at) => (at === index ? { ...step, ...patch } : step));
  const live: LiveOperation = {
    get operation() {
      return operation;
    },
    abort: new AbortController(),
    cancelled: undefined,
    committed: false,
    active: false,
    async change(patch) {
      operation = typeof patch === 'function' ? patch(operation) : { ...operation, ...patch };
      await save();
      tell();
    },
    changeStep: (index, patch) => live.change({ steps: withStep(index, patch) }),
    progress(index, progress, nowMs) {
      const pleaded = operation.attention !== undefined;
      operation = { ...withoutPlea(operation), steps: withStep(index, { progress }) };
      tell();
      if (!pleaded && nowMs - progressSavedAt < PROGRESS_SAVE_MS) return;
      progressSavedAt = nowMs;
      save().catch(onSaveFailure);
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  return live;
}

/** Nobody is waited for any more. */
export function withoutPlea({ attention: _plea, ...operation }: Operation): Operation {
  return operation.state === 'waiting' ? { ...operation, state: 'running' } : operation;
}

export function isOpen(operation: Operation): boolean {
  return operation.state === 'queued' || operation.state === 'running' || operation.state === 'waiting';
}

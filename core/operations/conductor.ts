/** Carries one operation from where it stands to its end: steps, failure, undoing, events. */

import type { Clock } from '../contracts/clock.ts';
import type { Log } from '../contracts/log.ts';
import type { EventType } from '../domain/event.ts';
import type { Operation, OperationKind } from '../domain/operation.ts';
import { OverdubError, toOverdubError } from '../errors.ts';
import { type OperationDefinition, recall } from './definition.ts';
import type { EventBus } from './events.ts';
import type { LiveOperation } from './live-operation.ts';
import { runStep } from './step-runner.ts';

export interface Conductor {
  definition(kind: OperationKind): OperationDefinition;
  /** To the end. Rejects only when the appliance stops. */
  conduct(live: LiveOperation): Promise<void>;
  /** Makes a failure durable, as soon as the catalogue can be written; the operation is still open. */
  recordFailure(live: LiveOperation, error: OverdubError): Promise<void>;
  /** Writes the end, as soon as the catalogue can be written, and tells of it. */
  finish(live: LiveOperation): Promise<void>;
  /** From now on, tells of every wait for somebody. */
  watch(live: LiveOperation): void;
  tellStarted(operation: Operation): void;
}

export interface ConductorDeps {
  readonly definitions: readonly OperationDefinition[];
  readonly clock: Clock;
  readonly log: Log;
  readonly events: EventBus;
  /** Aborts when the appliance stops. */
  readonly stopped: AbortSignal;
}

const UNDO_LIMIT_MS = 180_000;

/** How long is waited until an end that could not be written is written again. */
const FIRST_REWRITE_MS = 250;
const LONGEST_REWRITE_MS = 30_000;

export function createConductor(deps: ConductorDeps): Conductor {
  const { clock, log, events, stopped } = deps;
  const definitions = new Map(deps.definitions.map((definition) => [definition.kind, definition]));
  const now = () => new Date(clock.now()).toISOString();

  function definition(kind: OperationKind): OperationDefinition {
    const found = definitions.get(kind);
    if (found === undefined) throw new Error(`no definition of operation ${kind}`);
    return found;
  }

  function tell(type: EventType, operation: Operation, text: string): void {
    const { id, server, machineId, kind, state, requestedBy, result, error } = operation;
    const subject = {
      operation: id,
      ...(server === undefined ? {} : { server }),
      ...(machineId === undefined ? {} : { machine: machineId }),
    };
    events.emit(type, subject, text, {
      kind,
      state,
      requestedBy,
      ...(result === undefined ? {} : { result }),
      ...(error === undefined ? {} : { error }),
    });
  }

  async function carryOut(live: LiveOperation): Promise<void> {
    const { operation } = live;
    try {
      if (operation.state === 'queued') {
        await live.change({ state: 'running' });
        conductor.tellStarted(live.operation);
      }
      for (const [index, step] of definition(operation.kind).steps(operation.parameters).entries()) {
        if (live.operation.steps[index]?.state === 'done') continue;
        if (live.cancelled !== undefined) throw live.cancelled;
        if (step.destructive === true) live.committed = true;
        await runStep(live, index, step, clock);
      }
    } catch (error) {
      if (stopped.aborted) throw error;
      await conductor.recordFailure(live, toOverdubError(live.cancelled ?? error));
    }
  }

  async function undo(live: LiveOperation): Promise<void> {
    const { operation } = live;
    const { undo: undoing } = definition(operation.kind);
    if (undoing === undefined || operation.error === undefined) return;
    const limit = new AbortController();
    const done = new AbortController();
    clock.sleep(UNDO_LIMIT_MS, done.signal).then(
      () => limit.abort(new OverdubError('TIMED_OUT', 'Undoing took too long.', 'Look at the log.')),
      () => undefined,
    );
    try {
      const signal = AbortSignal.any([stopped, limit.signal]);
      await undoing(operation, OverdubError.fromJSON(operation.error), signal);
    } catch (error) {
      if (stopped.aborted) throw error;
      log.error({ operation: operation.id, error: String(error) }, 'undoing a failed operation failed too');
    } finally {
      done.abort();
    }
  }

  /**
   * A failure or an end, which nobody else would write: tried until it lies there. The disk may be full for the very
   * reason that the operation failed, and has room again once its packs are dropped.
   */
  async function writeEnd(live: LiveOperation, change: (operation: Operation) => Operation): Promise<void> {
    for (let waitMs = FIRST_REWRITE_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_REWRITE_MS)) {
      try {
        return await live.change(change);
      } catch (error) {
        if (stopped.aborted) throw error;
        const facts = { operation: live.operation.id, error: String(error), againMs: waitMs };
        log.error(facts, 'the end of an operation could not be written; it is tried again');
        await clock.sleep(waitMs, stopped);
      }
    }
  }

  const conductor: Conductor = {
    definition,
    async conduct(live) {
      if (live.operation.error === undefined) await carryOut(live);
      if (live.operation.error !== undefined) await undo(live);
      await conductor.finish(live);
    },
    // Durable before anything is undone: after a crash the undoing goes on, not the operation.
    async recordFailure(live, error) {
      await writeEnd(live, ({ attention: _none, ...operation }) => ({
        ...operation,
        state: 'running',
        error: error.toJSON(),
        steps: operation.steps.map((step) =>
          step.state === 'running' ? { ...step, state: 'failed', endedAt: now() } : step,
        ),
      }));
    },
    async finish(live) {
      const { error } = live.operation;
      const { result } = recall(live.operation);
      const cancelled = error?.code === 'OPERATION_CANCELLED';
      await writeEnd(live, ({ attention: _none, ...operation }) => ({
        ...operation,
        state: error === undefined ? 'done' : cancelled ? 'cancelled' : 'failed',
        endedAt: now(),
        ...(error === undefined && result !== undefined ? { result } : {}),
      }));
      const { operation } = live;
      if (error === undefined) tell('operation.done', operation, `${title(operation)} is done`);
      else tell('operation.failed', operation, `${title(operation)} ${operation.state}: ${error.message}`);
    },
    watch(live) {
      let before: string | undefined;
      live.watch((operation) => {
        const { attention } = operation;
        if (attention !== undefined && attention !== before) tell('operation.waiting', operation, attention);
        before = attention;
      });
    },
    tellStarted: (operation) => tell('operation.started', operation, `${title(operation)} started`),
  };
  return conductor;
}

function title({ kind, server, parameters }: Operation): string {
  const subject = server ?? parameters.name;
  return subject === undefined ? kind : `${kind} of ${String(subject)}`;
}

/**
 * Runs operations: durable at every step, one at a time per server, taken up again after a restart at the step that
 * had not ended. The only place that changes operation records.
 */

import type { OperationRecords } from '../catalogue/operations.ts';
import type { Clock } from '../contracts/clock.ts';
import type { Log } from '../contracts/log.ts';
import type { Operation, OperationKind, OperationStep } from '../domain/operation.ts';
import { toOverdubError } from '../errors.ts';
import { createConductor } from './conductor.ts';
import { exclusionKey, type OperationDefinition, recall } from './definition.ts';
import {
  busyServer,
  cancellation,
  cannotCancel,
  interrupted,
  noSuchOperation,
  stopping,
} from './engine-errors.ts';
import type { EventBus } from './events.ts';
import { newId } from './ids.ts';
import { isOpen, type LiveOperation, liveOperation } from './live-operation.ts';

export interface NewOperation {
  readonly kind: OperationKind;
  readonly server?: string;
  readonly machineId?: string;
  readonly parameters?: Operation['parameters'];
  readonly requestedBy: string;
}

export interface Engine {
  /** Queues an operation; durable when it resolves. It starts when nothing else works on its server. */
  submit(request: NewOperation): Promise<Operation>;
  /** Opens an operation that an agent drives itself. CONFLICT while anything else is open on its server. */
  begin(request: NewOperation & { server: string }, step: string): Promise<Operation>;
  /** Ends such an operation; one that has ended already stays as it is. */
  end(
    id: string,
    outcome: { readonly result: NonNullable<Operation['result']> } | { readonly error: unknown },
  ): Promise<void>;
  /** Cancels it and waits for its end. NOT_FOUND; CONFLICT once it has ended or begun what cannot be taken back. */
  cancel(id: string, by: string): Promise<Operation>;
  /** Newest state. NOT_FOUND. */
  get(id: string): Promise<Operation>;
  /** Resolves with the ended operation; `onChange` sees every change until then. NOT_FOUND. */
  wait(id: string, options?: WaitOptions): Promise<Operation>;
  /** Operations that have not ended, oldest first. */
  open(): readonly Operation[];
  /** Takes up what was open when the appliance stopped. Call once, before anything is submitted. */
  resume(): Promise<void>;
  /** Lets go of everything as it is; nothing is marked failed. */
  stop(): Promise<void>;
}

export interface WaitOptions {
  readonly signal?: AbortSignal;
  readonly onChange?: (operation: Operation) => void;
}

export interface EngineDeps {
  readonly records: OperationRecords;
  readonly definitions: readonly OperationDefinition[];
  readonly clock: Clock;
  readonly log: Log;
  readonly events: EventBus;
}

export function createEngine(deps: EngineDeps): Engine {
  const { records, clock, log } = deps;
  const lives = new Map<string, LiveOperation>();
  const driving = new Set<Promise<void>>();
  const stopped = new AbortController();
  const conductor = createConductor({ ...deps, stopped: stopped.signal });
  const now = () => new Date(clock.now()).toISOString();

  function adopt(operation: Operation): LiveOperation {
    const live = liveOperation(operation, records, (error) =>
      log.error({ operation: operation.id, error: String(error) }, 'progress could not be written'),
    );
    lives.set(operation.id, live);
    conductor.watch(live);
    return live;
  }

  /** Known to the engine at once, so that nothing overlaps with it; forgotten again when it cannot be written. */
  async function adoptNew(operation: Operation, active: boolean): Promise<LiveOperation> {
    const live = adopt(operation);
    live.active = active;
    try {
      await live.change({});
    } catch (error) {
      lives.delete(operation.id);
      throw error;
    }
    return live;
  }

  function newRecord(request: NewOperation): Operation {
    if (stopped.signal.aborted) throw stopping();
    const { kind, server, machineId, parameters = {}, requestedBy } = request;
    return {
      id: newId('op', clock.now()),
      kind,
      ...(server === undefined ? {} : { server }),
      ...(machineId === undefined ? {} : { machineId }),
      state: 'queued',
      requestedBy,
      parameters,
      memory: {},
      steps: [],
      createdAt: now(),
    };
  }

  /** Starts what may start: everything without a key, else the oldest of its key when none is active. */
  function pump(key: string | undefined): void {
    if (stopped.signal.aborted) return;
    const candidates = [...lives.values()].filter(({ operation }) => exclusionKey(operation) === key);
    if (key !== undefined && candidates.some((live) => live.active)) return;
    for (const live of candidates) {
      if (live.active || live.cancelled !== undefined) continue;
      live.active = true;
      const drive: Promise<void> = conduct(live).finally(() => driving.delete(drive));
      driving.add(drive);
      if (key !== undefined) return;
    }
  }

  async function conduct(live: LiveOperation): Promise<void> {
    try {
      await conductor.conduct(live);
      forget(live);
    } catch (error) {
      if (stopped.signal.aborted) return;
      log.error(
        { operation: live.operation.id, error: String(error) },
        'operation stays open until a restart',
      );
    }
  }

  function forget(live: LiveOperation): void {
    lives.delete(live.operation.id);
    pump(exclusionKey(live.operation));
  }

  const engine: Engine = {
    async submit(request) {
      const record = newRecord(request);
      const steps = conductor.definition(request.kind).steps(record.parameters);
      const live = await adoptNew(
        { ...record, steps: steps.map(({ name }) => ({ name, state: 'pending', attempts: 0 })) },
        false,
      );
      const submitted = live.operation;
      pump(exclusionKey(submitted));
      return submitted;
    },

    async begin(request, step) {
      const record = newRecord(request);
      const key = exclusionKey(record);
      const busy = engine.open().find((each) => exclusionKey(each) === key);
      if (busy !== undefined) throw busyServer(request.server, busy);
      const first: OperationStep = { name: step, state: 'running', attempts: 1, startedAt: now() };
      const live = await adoptNew(
        { ...record, state: 'running', memory: { external: true }, steps: [first] },
        true,
      );
      conductor.tellStarted(live.operation);
      return live.operation;
    },

    async end(id, outcome) {
      const live = lives.get(id);
      if (live === undefined || recall(live.operation).external !== true || live.committed) return;
      live.committed = true;
      if ('error' in outcome) await conductor.recordFailure(live, toOverdubError(outcome.error));
      else {
        await live.change({ memory: { ...live.operation.memory, result: outcome.result } });
        await live.changeStep(0, { state: 'done', endedAt: now() });
      }
      await conductor.finish(live);
      forget(live);
    },

    async cancel(id, by) {
      const live = lives.get(id);
      if (live === undefined || !isOpen(live.operation)) {
        throw cannotCancel(await engine.get(id), 'it has ended');
      }
      const { error, memory } = live.operation;
      if (memory.external === true) throw cannotCancel(live.operation, 'the agent of the server drives it');
      if (error !== undefined) throw cannotCancel(live.operation, 'it is ending already');
      if (live.committed) throw cannotCancel(live.operation, 'what it began cannot be taken back');
      live.cancelled = cancellation(by);
      const ended = engine.wait(id);
      // Whoever cancels hears of a failure below; the wait alone must not bring the process down.
      ended.catch(() => undefined);
      if (live.active) live.abort.abort(live.cancelled);
      else {
        await conductor.recordFailure(live, live.cancelled);
        await conductor.finish(live);
        forget(live);
      }
      return ended;
    },

    async get(id) {
      const operation = lives.get(id)?.operation ?? (await records.get(id));
      if (operation === undefined) throw noSuchOperation(id);
      return operation;
    },

    async wait(id, options = {}) {
      const live = lives.get(id);
      if (live === undefined || !isOpen(live.operation)) return engine.get(id);
      return waitFor(live, options, stopped.signal);
    },

    open: () => [...lives.values()].map((live) => live.operation).filter(isOpen),

    async resume() {
      const open = await records.listOpen();
      // What was under way goes before what was queued behind it.
      const ordered = open.toSorted((a, b) => Number(a.state === 'queued') - Number(b.state === 'queued'));
      const keys = new Set<string | undefined>();
      for (const operation of ordered) {
        const live = adopt(operation);
        if (recall(operation).external === true) {
          await engine.end(operation.id, { error: interrupted() });
          continue;
        }
        live.committed = conductor
          .definition(operation.kind)
          .steps(operation.parameters)
          .some((step, at) => step.destructive === true && operation.steps[at]?.state !== 'pending');
        keys.add(exclusionKey(operation));
      }
      for (const key of keys) pump(key);
    },

    async stop() {
      stopped.abort(stopping());
      for (const live of lives.values()) live.abort.abort(stopping());
      await Promise.allSettled(driving);
    },
  };
  return engine;
}

function waitFor(
  live: LiveOperation,
  { signal, onChange }: WaitOptions,
  stopped: AbortSignal,
): Promise<Operation> {
  const given = signal === undefined ? stopped : AbortSignal.any([signal, stopped]);
  return new Promise((resolve, reject) => {
    const release = () => {
      unwatch();
      given.removeEventListener('abort', onAbort);
    };
    const onAbort = () => {
      release();
      reject(given.reason);
    };
    const unwatch = live.watch((operation) => {
      onChange?.(operation);
      if (isOpen(operation)) return;
      release();
      resolve(operation);
    });
    if (given.aborted) onAbort();
    else given.addEventListener('abort', onAbort, { once: true });
  });
}

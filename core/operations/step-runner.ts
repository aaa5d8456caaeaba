/** One step of an operation: deadline, retries with back-off, and a record of each attempt. */

import type { Clock } from '../contracts/clock.ts';
import type { Operation } from '../domain/operation.ts';
import { OverdubError, toOverdubError } from '../errors.ts';
import type { StepContext, StepDefinition } from './definition.ts';
import { type LiveOperation, withoutPlea } from './live-operation.ts';

/** How often a step is tried again after the agent went away, and how long is waited in between. */
const RETRIES = 5;
const FIRST_BACKOFF_MS = 2000;
const LONGEST_BACKOFF_MS = 60_000;

/**
 * Runs the step until it is done; rejects with an OverdubError, the step marked failed unless the engine stops.
 * While it is tried again because its agent is away, the operation says so: `waiting`, until the agent reports
 * progress or the step ends.
 */
export async function runStep(
  live: LiveOperation,
  index: number,
  step: StepDefinition,
  clock: Clock,
): Promise<void> {
  for (let failures = 0; ; failures++) {
    try {
      await attempt(live, index, step, clock);
      return;
    } catch (error) {
      const reason = live.abort.signal.aborted ? live.abort.signal.reason : error;
      const coded = toOverdubError(reason, 'INTERNAL', 'Please report it with the log of the appliance.');
      if (live.abort.signal.aborted || failures >= RETRIES || coded.code !== 'AGENT_LOST') throw coded;
      await live.change((operation) => ({
        ...operation,
        state: 'waiting',
        attention: plea(operation, step),
      }));
      await clock.sleep(Math.min(FIRST_BACKOFF_MS * 2 ** failures, LONGEST_BACKOFF_MS), live.abort.signal);
    }
  }
}

async function attempt(
  live: LiveOperation,
  index: number,
  step: StepDefinition,
  clock: Clock,
): Promise<void> {
  const before = live.operation.steps[index];
  const now = () => new Date(clock.now()).toISOString();
  await live.changeStep(index, {
    state: 'running',
    attempts: (before?.attempts ?? 0) + 1,
    startedAt: before?.startedAt ?? now(),
  });
  const ended = new AbortController();
  const late = new AbortController();
  const signal = AbortSignal.any([live.abort.signal, late.signal]);
  clock.sleep(step.deadlineMs, ended.signal).then(
    () => late.abort(overdue(step)),
    () => undefined,
  );
  try {
    await Promise.race([step.run(stepContext(live, index, signal, clock)), rejectOn(signal, ended.signal)]);
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    ended.abort();
  }
  if (live.operation.attention !== undefined) await live.change(withoutPlea);
  await live.changeStep(index, { state: 'done', endedAt: now() });
}

function stepContext(live: LiveOperation, index: number, signal: AbortSignal, clock: Clock): StepContext {
  return {
    get operation() {
      return live.operation;
    },
    signal,
    remember: (facts) =>
      live.change((operation) => ({ ...operation, memory: { ...operation.memory, ...facts } })),
    progress: (progress) => {
      if (!signal.aborted) live.progress(index, progress, clock.now());
    },
    attention: (text) =>
      live.change((operation) =>
        text === undefined ? withoutPlea(operation) : { ...operation, state: 'waiting', attention: text },
      ),
  };
}

/** A step that does not heed its signal is left behind. */
function rejectOn(signal: AbortSignal, ended: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    ended.addEventListener('abort', () => signal.removeEventListener('abort', abort), { once: true });
  });
}

/** What is waited for, and what somebody can do about it. */
function plea({ server, machineId }: Operation, step: StepDefinition): string {
  const gone = (of: string) =>
    `Waiting for the agent of ${of}: it went silent in the step ${step.name}, which goes on when it is back.`;
  const look = 'is on and reaches the appliance, and power-cycle it if it hangs.';
  if (server !== undefined) {
    return `${gone(server)} Look whether its machine (overdub server show ${server}) ${look}`;
  }
  return `${gone(machineId === undefined ? 'a machine' : `machine ${machineId}`)} Look whether the machine ${look}`;
}

function overdue(step: StepDefinition): OverdubError {
  return new OverdubError(
    'TIMED_OUT',
    `The step ${step.name} did not end within ${Math.round(step.deadlineMs / 1000)} s.`,
    'Look at the machine and the log of the appliance, then start the operation again.',
  );
}

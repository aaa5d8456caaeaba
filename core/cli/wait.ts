/** Waits for operations and shows how they get on. */

import { setTimeout as delay } from 'node:timers/promises';
import type { Operation, OperationStep } from '../domain/operation.ts';
import { OverdubError } from '../errors.ts';
import { type ApiClient, segment } from './client.ts';
import type { Call, Flag } from './command.ts';
import { bar, duration, safe, size } from './format.ts';

/** Of every command that starts an operation. */
export const WAIT_FLAGS: Readonly<Record<string, Flag>> = {
  'no-wait': { type: 'boolean', summary: 'Do not wait for the operation to end' },
};

/** An appliance that restarts may be away this long while we wait. */
const ABSENCE_MS = 120_000;

/** How a command tells of its operation's result, where that is more than a few figures. */
export interface Told {
  readonly text?: (result: NonNullable<Operation['result']>) => string;
  /** The operation was done, but what it found calls for exit code 1. */
  readonly isBad?: (result: NonNullable<Operation['result']>) => boolean;
}

/**
 * Shows the operation's end, or with --no-wait its beginning. Exit code 1 unless it was
 * done and `told` finds nothing bad in its result.
 */
export async function showOperation(
  call: Call,
  client: ApiClient,
  started: Operation,
  told: Told = {},
): Promise<number> {
  if (call.flag('no-wait')) {
    call.show(started, () => `${describe(started)} started: overdub operation show ${started.id}`);
    return 0;
  }
  const ended = await waitForEnd(call, client, started);
  const { result } = ended;
  const { text } = told;
  call.show(ended, () =>
    text === undefined || result === undefined ? outcome(ended) : `${head(ended)}\n${text(result)}`,
  );
  if (ended.state === 'done') return result !== undefined && told.isBad?.(result) === true ? 1 : 0;
  if (ended.error !== undefined) throw OverdubError.fromJSON(ended.error);
  return 1;
}

/** Resolves when the operation has ended; progress goes to standard error. */
export async function waitForEnd(call: Call, client: ApiClient, started: Operation): Promise<Operation> {
  const progress = progressOn(call);
  let operation = started;
  let lastHeard = call.environment.now();
  try {
    while (!hasEnded(operation)) {
      progress.show(operation);
      try {
        operation = await client.get<Operation>(`/operations/${segment(operation.id)}`, { wait: 1 });
        lastHeard = call.environment.now();
      } catch (error) {
        if (!isAbsence(error) || call.environment.now() - lastHeard > ABSENCE_MS) throw error;
        await delay(500, undefined, { signal: call.environment.signal });
      }
    }
    progress.show(operation);
    return operation;
  } finally {
    progress.end();
  }
}

function isAbsence(error: unknown): boolean {
  return error instanceof OverdubError && error.code === 'APPLIANCE_UNREACHABLE';
}

export function hasEnded({ state }: Operation): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled';
}

/** One redrawn line on a terminal; elsewhere a line whenever step or state changes. */
function progressOn({ environment, json }: Call): { show(operation: Operation): void; end(): void } {
  let last = '';
  let drawn = false;
  return {
    show(operation) {
      const text = environment.interactive ? progressLine(operation) : stepLine(operation);
      if (text === last || (json && !environment.interactive)) return;
      last = text;
      drawn = environment.interactive;
      environment.err(environment.interactive ? `\r\u001b[K${text}` : `${text}\n`);
    },
    end() {
      if (drawn) environment.err('\r\u001b[K');
    },
  };
}

function stepLine(operation: Operation): string {
  if (operation.state === 'waiting')
    return `${describe(operation)} waits: ${safe(operation.attention ?? '')}`;
  const step = currentStep(operation);
  return `${describe(operation)}: ${step?.name ?? operation.state}`;
}

function progressLine(operation: Operation): string {
  const { doneBytes, totalBytes, text } = currentStep(operation)?.progress ?? {};
  const line = stepLine(operation);
  if (operation.state === 'waiting' || doneBytes === undefined)
    return `${line}${text === undefined ? ' …' : ` ${safe(text)}`}`;
  return `${line} ${bar(doneBytes, totalBytes)}`;
}

function currentStep({ steps }: Operation): OperationStep | undefined {
  return steps.find(({ state }) => state === 'running') ?? steps.findLast(({ state }) => state === 'done');
}

function describe({ kind, server }: Operation): string {
  return server === undefined ? kind : `${kind} of ${server}`;
}

function head(operation: Operation): string {
  const took =
    operation.endedAt === undefined
      ? ''
      : ` in ${duration(Date.parse(operation.endedAt) - Date.parse(operation.createdAt))}`;
  return `${describe(operation)} ${operation.state}${took}`;
}

function outcome(operation: Operation): string {
  const result = Object.entries(operation.result ?? {}).flatMap(([key, value]) => {
    const text = resultText(key, value);
    return text === undefined ? [] : [`  ${key}: ${text}`];
  });
  return [head(operation), ...result].join('\n');
}

/** Texts, numbers and lists of texts; undefined for what has no line of its own. */
function resultText(key: string, value: unknown): string | undefined {
  if (typeof value === 'number') return /bytes/i.test(key) ? size(value) : String(value);
  if (typeof value === 'string') return safe(value);
  const isList = Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string');
  return isList ? value.map(safe).join(', ') : undefined;
}

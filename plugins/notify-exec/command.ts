/** One run of the command: event in, exit code out, never longer than allowed. */

import { type ChildProcess, spawn } from 'node:child_process';
import type { Clock, Event } from '@overdub/core';

export interface RunOptions {
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Between asking the command to end and making it. */
const GRACE_MS = 2000;
/** What is kept of standard error, for the message. */
const KEPT_BYTES = 2000;
/** The appliance's own variables, tokens among them, are none of the command's business. */
const PASSED_ON = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR'] as const;

/** Resolves when the command has ended with exit code 0; rejects with what it said on standard error. */
export async function runCommand(
  [program, ...args]: readonly string[],
  event: Event,
  { environment, timeoutMs, clock, signal }: RunOptions,
): Promise<void> {
  const child = spawn(program as string, args, {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...inherited(), OVERDUB_EVENT: event.type, OVERDUB_EVENT_ID: event.id, ...environment },
    // A process group of its own, so that what a script started ends with it.
    detached: true,
  });
  const ended = endOf(child, program as string);
  // A command that does not read its input is no failure.
  child.stdin?.on('error', () => {});
  child.stdin?.end(`${JSON.stringify(event)}\n`);
  const settled = new AbortController();
  const late = clock.sleep(timeoutMs, AbortSignal.any([signal, settled.signal])).then(
    () => new Error(`${program} did not end within ${timeoutMs / 1000} s and was killed`),
    () => new Error(`${program} was killed because the appliance stops`),
  );
  try {
    const reason = await Promise.race([ended, late]);
    if (reason === undefined) return;
    await kill(child, ended, clock);
    throw reason;
  } finally {
    settled.abort();
  }
}

function endOf(child: ChildProcess, program: string): Promise<undefined> {
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-KEPT_BYTES);
  });
  const ended = new Promise<undefined>((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`${program} cannot be started: ${error.message}`)));
    child.once('close', (code, killedBy) => {
      if (code === 0) resolve(undefined);
      else
        reject(
          new Error(
            `${program} ended with ${killedBy ?? `exit code ${code}`}: ${said.trim() || 'it said nothing'}`,
          ),
        );
    });
  });
  // Also when the time limit was faster.
  ended.catch(() => {});
  return ended;
}

async function kill(child: ChildProcess, ended: Promise<undefined>, clock: Clock): Promise<void> {
  signalGroup(child, 'SIGTERM');
  const gone = new AbortController();
  const settled = ended.then(
    () => {},
    () => {},
  );
  await Promise.race([settled, clock.sleep(GRACE_MS, gone.signal).catch(() => {})]);
  gone.abort();
  signalGroup(child, 'SIGKILL');
  await settled;
}

function signalGroup({ pid }: ChildProcess, name: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, name);
  } catch (error) {
    // The whole group has ended already.
    if ((error as { code?: string }).code !== 'ESRCH') throw error;
  }
}

function inherited(): Record<string, string> {
  return Object.fromEntries(
    PASSED_ON.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

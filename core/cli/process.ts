/** The process around a command line: the only place with signal handlers, and the only one that sets the exit code. */

import process from 'node:process';
import { OverdubError } from '../errors.ts';
import type { Environment } from './environment.ts';

/** Gives the process's arguments and surroundings to `work`, and leaves its result as the exit code. */
export async function inProcess(
  work: (args: readonly string[], environment: Environment) => Promise<number>,
  more: Pick<Environment, 'defaults' | 'programs'> = {},
): Promise<void> {
  const interrupted = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    // Asked twice, we go at once.
    if (interrupted.signal.aborted) process.exit(1);
    interrupted.abort(interruption(name));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  endQuietlyOnBrokenPipe();
  process.exitCode = await work(process.argv.slice(2), { ...environmentOf(interrupted.signal), ...more });
  process.off('SIGINT', onSignal);
  process.off('SIGTERM', onSignal);
}

/** What is told where nobody catches it: no defect of ours. */
function interruption(name: NodeJS.Signals): OverdubError {
  return new OverdubError(
    'OPERATION_CANCELLED',
    `Interrupted (${name}).`,
    'What is done so far stays; run the command again to finish it.',
  );
}

function environmentOf(signal: AbortSignal): Environment {
  return {
    cwd: process.cwd(),
    variables: process.env,
    out: (text) => void process.stdout.write(text),
    outBytes: (bytes) =>
      new Promise((resolve, reject) => {
        process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
    err: (text) => void process.stderr.write(text),
    interactive: process.stderr.isTTY === true && process.env.TERM !== 'dumb',
    signal,
    now: () => Date.now(),
  };
}

/** `overdub … | head` is no failure of ours. */
function endQuietlyOnBrokenPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

/** The CLI's entry: the only place with signal handlers, and the only one that sets the exit code. */

import process from 'node:process';
import type { ApplianceConfig } from '../contracts/config.ts';
import { runCli } from './dispatch.ts';
import type { Environment } from './environment.ts';

/** Runs the process's command line. `defaults` is the configuration when there is no file. */
export async function main(defaults?: () => Promise<ApplianceConfig>): Promise<void> {
  const interrupted = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    // Asked twice, we go at once.
    if (interrupted.signal.aborted) process.exit(1);
    interrupted.abort(new Error(name));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  endQuietlyOnBrokenPipe();
  const environment = environmentOf(interrupted.signal, defaults);
  process.exitCode = await runCli(process.argv.slice(2), environment);
  process.off('SIGINT', onSignal);
  process.off('SIGTERM', onSignal);
}

function environmentOf(
  signal: AbortSignal,
  defaults: (() => Promise<ApplianceConfig>) | undefined,
): Environment {
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
    ...(defaults === undefined ? {} : { defaults }),
  };
}

/** `overdub … | head` is no failure of ours. */
function endQuietlyOnBrokenPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

if (import.meta.main) await main();

/** Host programs the lab runs, each named with the Debian package that brings it. */

import { spawn } from 'node:child_process';
import { OverdubError } from '@overdub/core';

const PACKAGE_OF: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  'qemu-system-x86_64': 'qemu-system-x86',
  dnsmasq: 'dnsmasq-base',
  radvd: 'radvd',
};

export interface ExecOptions {
  readonly signal?: AbortSignal;
  /** Default 60 s. */
  readonly timeoutMs?: number;
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program to its end and resolves with its standard output. Rejects unless it exits 0. */
export async function exec(command: readonly string[], options: ExecOptions = {}): Promise<string> {
  const [program = '', ...args] = command;
  const limit = AbortSignal.timeout(options.timeoutMs ?? 60_000);
  const signal = options.signal ? AbortSignal.any([limit, options.signal]) : limit;
  const child = spawn(program, args, { signal, env: { ...process.env, ...options.env } });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  // A program that ends early closes its input; its exit status says why.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input);
  const status = await new Promise((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') reject(missingProgram(program));
      else if (limit.aborted)
        reject(failed(command, `took longer than ${(options.timeoutMs ?? 60_000) / 1000} s`, errors));
      else reject(error);
    });
    child.on('close', (code, killedBy) => resolve(code ?? killedBy));
  });
  if (status !== 0) throw failed(command, `ended with ${status}`, errors);
  return Buffer.concat(output).toString();
}

function failed(command: readonly string[], what: string, errors: readonly Buffer[]): Error {
  const said = Buffer.concat([...errors])
    .toString()
    .trim()
    .slice(-2000);
  return new Error(`${command.join(' ').slice(0, 300)} ${what}${said === '' ? '' : `: ${said}`}`);
}

/** The error for a program that is not there. */
export function missingProgram(program: string): OverdubError {
  return new OverdubError(
    'PREREQUISITE_MISSING',
    `${program} is not installed; the emulated lab needs it.`,
    `Install it: apt-get install ${PACKAGE_OF[program] ?? program}`,
  );
}

import { spawn } from 'node:child_process';
import { OverdubError } from '@overdub/core';

/** A program of the host that the builder runs, and the Debian package that brings it. */
export interface HostProgram {
  readonly program: string;
  readonly package: string;
}

/**
 * Runs a host program and resolves with its standard output. Never through a shell.
 * @throws PREREQUISITE_MISSING when it is not installed; a plain Error with its last lines when it fails
 */
export async function run(
  { program, package: debian }: HostProgram,
  args: readonly string[],
  options: { readonly signal: AbortSignal; readonly input?: Uint8Array; readonly cwd?: string },
): Promise<Buffer> {
  const child = spawn(program, args, {
    signal: options.signal,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdio: [options.input ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
  });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => errors.push(chunk));
  // A program that ends early closes its input; its exit status says why.
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.input);
  const status = await new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'ENOENT' ? missing(program, debian) : error),
    );
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'SIGKILL'));
  });
  if (status !== 0) {
    const last = Buffer.concat(errors).toString().trim().split('\n').slice(-8).join('\n');
    throw new Error(`${program} ${args.slice(-2).join(' ')} ended with ${status}: ${last}`);
  }
  return Buffer.concat(output);
}

function missing(program: string, debian: string): OverdubError {
  return new OverdubError(
    'PREREQUISITE_MISSING',
    `${program} is not installed; building the ramdisk needs it.`,
    `Install it: apt-get install ${debian}`,
  );
}

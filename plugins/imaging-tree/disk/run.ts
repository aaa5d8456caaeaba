/** Runs the ramdisk's own programs. Arguments are arrays; no shell ever sees them. */

import { spawn } from 'node:child_process';
import { OverdubError } from '@overdub/core/agent';
import { errorCode } from '../tree/libc.ts';

export interface RunOptions {
  readonly input?: string;
  readonly signal?: AbortSignal;
  /** Exit codes that count as success; default only 0. */
  readonly accept?: readonly number[];
}

/** Runs a program to its end and gives its standard output. PREREQUISITE_MISSING when it is not there. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', PATH: `${process.env.PATH ?? ''}:/usr/sbin:/usr/bin:/sbin:/bin` },
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const output = gather(child.stdout);
  const complaints = gather(child.stderr);
  // A program that ends without reading its input breaks the pipe; its exit code says more than that.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).catch((error: unknown) => {
    throw errorCode(error) === 'ENOENT' ? missing(program, error) : error;
  });
  if (code !== null && (options.accept ?? [0]).includes(code)) return output();
  throw new Error(
    `${program} ${args.join(' ')} failed (exit ${code}): ${complaints().trim() || output().trim()}`,
  );
}

function gather(stream: NodeJS.ReadableStream): () => string {
  const pieces: Buffer[] = [];
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  return () => Buffer.concat(pieces).toString();
}

function missing(program: string, cause: unknown): OverdubError {
  return new OverdubError(
    'PREREQUISITE_MISSING',
    `The program ${program} is not installed.`,
    `Install it; the ramdisk gets it from \`overdub ramdisk build\`.`,
    { cause },
  );
}

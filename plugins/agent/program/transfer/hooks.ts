/** The server's own executables around a snapshot (docs/architecture.md, "Snapshot hooks of a server"). */

import { execFile } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OverdubError } from '@overdub/core/agent';

/** A hook that does not end is killed after this. */
const LIMIT_MS = 10 * 60_000;
const MAX_OUTPUT_BYTES = 1024 * 1024;

/** What a post hook asked for; paths are relative to the root. */
export type Directive =
  | { readonly kind: 'rescan'; readonly path: string }
  | { readonly kind: 'omit'; readonly path: string }
  | { readonly kind: 'put'; readonly path: string; readonly file: string };

/** What a pre hook asked for: a tree that is only taken after the post hooks have run. */
export interface Deferral {
  readonly kind: 'defer';
  readonly path: string;
}

/** Runs a directory's hooks in name order; stops at the first that fails. Returns their output lines. */
export async function runHooks(dir: string, signal: AbortSignal): Promise<{ ran: number; lines: string[] }> {
  const lines: string[] = [];
  const hooks = await executables(dir);
  for (const hook of hooks) lines.push(...(await run(hook, signal)).split('\n'));
  return { ran: hooks.length, lines: lines.filter((line) => line.trim() !== '') };
}

/** Runs all hooks whatever fails, then throws the first failure: what was stopped must be started again. */
export async function runAllHooks(
  dir: string,
  signal: AbortSignal,
): Promise<{ ran: number; lines: string[] }> {
  const lines: string[] = [];
  const failures: unknown[] = [];
  const hooks = await executables(dir);
  for (const hook of hooks) {
    try {
      lines.push(...(await run(hook, signal)).split('\n'));
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return { ran: hooks.length, lines: lines.filter((line) => line.trim() !== '') };
}

/** What pre hooks have done and asked for, and what is left to do. */
export interface Quiesced {
  /** Pre hooks that ran. */
  readonly ran: number;
  /** Trees that are taken only after the post hooks. */
  readonly deferred: readonly string[];
  /** Runs the post hooks; what they asked for. */
  readonly post: () => Promise<Directive[]>;
}

/** Runs `work` between a server's pre and post hooks, which run whatever becomes of it. Without `dir` there are none. */
export async function betweenHooks<T>(
  dir: string | undefined,
  signal: AbortSignal,
  work: (quiesced: Quiesced) => Promise<T>,
): Promise<T> {
  if (dir === undefined) return await work({ ran: 0, deferred: [], post: () => Promise.resolve([]) });
  let posted = false;
  const post = async () => {
    posted = true;
    return (await runAllHooks(join(dir, 'post-snapshot.d'), signal)).lines.map(parseDirective);
  };
  try {
    const { ran, lines } = await runHooks(join(dir, 'pre-snapshot.d'), signal);
    return await work({ ran, deferred: lines.map((line) => parseDeferral(line).path), post });
  } finally {
    // Also when a pre hook or the scan failed: what was quiesced must go on. Not by the aborted signal.
    if (!posted) await runAllHooks(join(dir, 'post-snapshot.d'), new AbortController().signal);
  }
}

/** `rescan PATH`, `omit PATH`, `put PATH FILE`; absolute paths are taken from the root. Anything else is refused. */
export function parseDirective(line: string): Directive {
  const [word, path, ...rest] = words(line);
  const relative = relativePath(path);
  if (word === 'rescan' && relative !== undefined && rest.length === 0)
    return { kind: 'rescan', path: relative };
  if (word === 'omit' && relative !== undefined && relative !== '' && rest.length === 0)
    return { kind: 'omit', path: relative };
  const [file] = rest;
  if (word === 'put' && relative !== undefined && relative !== '' && file?.startsWith('/')) {
    if (rest.length === 1) return { kind: 'put', path: relative, file };
  }
  throw notUnderstood('post', line, '"rescan PATH", "omit PATH" and "put PATH FILE"');
}

/** `defer PATH`, never the whole root. Anything else is refused. */
export function parseDeferral(line: string): Deferral {
  const [word, path, ...rest] = words(line);
  const relative = relativePath(path);
  if (word === 'defer' && relative !== undefined && relative !== '' && rest.length === 0) {
    return { kind: 'defer', path: relative };
  }
  throw notUnderstood('pre', line, '"defer PATH"');
}

function words(line: string): string[] {
  return line.trim().split(/[ \t]+/);
}

/** Undefined when it is missing or leads out of the root. */
function relativePath(path: string | undefined): string | undefined {
  const relative = path?.replace(/^\/+/, '').replace(/\/+$/, '');
  return relative?.split('/').some((part) => part === '..' || part === '.') ? undefined : relative;
}

function notUnderstood(kind: 'pre' | 'post', line: string, known: string): OverdubError {
  return new OverdubError(
    'INPUT_INVALID',
    `A ${kind}-snapshot hook printed ${JSON.stringify(line.slice(0, 200))}, which is not understood.`,
    `Such hooks may print ${known} to standard output; send messages to standard error.`,
  );
}

async function executables(dir: string): Promise<string[]> {
  const names = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [] as string[];
    throw error;
  });
  const found: string[] = [];
  for (const name of names.sort()) {
    const info = await stat(join(dir, name));
    if (!name.startsWith('.') && info.isFile() && (info.mode & 0o100) !== 0) found.push(join(dir, name));
  }
  return found;
}

function run(path: string, signal: AbortSignal): Promise<string> {
  const options = { timeout: LIMIT_MS, maxBuffer: MAX_OUTPUT_BYTES, signal, cwd: '/' };
  return new Promise((resolve, reject) => {
    execFile(path, [], options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const last = stderr.trim().split('\n').slice(-3).join(' / ');
      reject(
        new OverdubError(
          'PREREQUISITE_MISSING',
          `The snapshot hook ${path} failed: ${last || error.message}.`,
          `Run it by hand on the server and repair it, or take its execute permission away.`,
          { cause: error },
        ),
      );
    });
  });
}

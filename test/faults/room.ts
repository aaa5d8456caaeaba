/** What one test makes: a directory, processes, mounts, namespaces. All of it goes again, also after a failure. */

import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How long a test waits for something that has to come, milliseconds: generous, the machine may be busy. */
export const PATIENCE_MS = 90_000;

export class Room {
  readonly directory: string;
  readonly #stack = new AsyncDisposableStack();

  private constructor(directory: string) {
    this.directory = directory;
    this.#stack.defer(() => rm(directory, { recursive: true, force: true }));
  }

  static async open(): Promise<Room> {
    return new Room(await mkdtemp(join(tmpdir(), 'overdub-faults-')));
  }

  /** A path below the room's directory. */
  path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  /** Something to take down when the test has ended; last made, first gone. */
  defer(undo: () => Promise<void> | void): void {
    this.#stack.defer(undo);
  }

  /** Ends this process with the test at the latest. */
  adopt(child: ChildProcess): void {
    this.defer(() => kill(child));
  }

  /** Mounts a file system of its own below the room. Needs root. */
  async mount(name: string, options: readonly string[], source = 'tmpfs'): Promise<string> {
    const target = this.path(name);
    await mkdir(target, { recursive: true });
    execFileSync('mount', [...options, source, target], { stdio: 'pipe' });
    // Lazily: a process that is still going down must not keep it.
    this.defer(() => void execFileSync('umount', ['-l', target], { stdio: 'pipe' }));
    return target;
  }

  /** Takes down everything, each thing whatever became of the others. */
  close(): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** May this process mount file systems and make network namespaces? */
export const isRoot = process.getuid?.() === 0;

/** Pulls the plug of a process, and waits until it is gone. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** Resolves with the first answer that is not undefined; asks again and again until then. */
export async function until<T>(what: string, ask: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`it did not happen within ${PATIENCE_MS / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A thread that makes the small files of a tree, while this one plans, receives and writes the large ones. */

import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { Condition, type FileStamp, OverdubError } from '@overdub/core/agent';
import { type Batch, type Done, type Job, STOP } from './jobs.ts';

/** So much work at a time: some milliseconds of it. */
const BATCH_JOBS = 64;
const BATCH_BYTES = 256 * 1024;
/** And so many batches of it ahead: the memory of a few, and few handles that stay open. */
const MOST_BATCHES = 8;

/** Told of files in the order in which they were given. */
export type OnStamp = (stamp: FileStamp | undefined) => void;

export class WriterThread {
  readonly #worker: Worker;
  readonly #onStamp: OnStamp;
  readonly #change = new Condition();
  #jobs: Job[] = [];
  #bytes = new Uint8Array(BATCH_BYTES);
  #used = 0;
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  /** Batches that are being made. */
  #under = 0;
  #failure: Error | undefined;
  #hasEnded = false;

  /** Undefined where another thread is no help, or none can be had. */
  static start(onStamp: OnStamp): WriterThread | undefined {
    if (availableParallelism() < 2) return undefined;
    try {
      return new WriterThread(onStamp);
    } catch {
      // Everything is made by this thread then, which only takes longer.
      return undefined;
    }
  }

  private constructor(onStamp: OnStamp) {
    this.#onStamp = onStamp;
    const { file, execArgv } = threadProgram(import.meta.url);
    // The handles that it closes are opened here.
    const options = { trackUnmanagedFds: false, ...(execArgv === undefined ? {} : { execArgv }) };
    this.#worker = new Worker(file, { name: 'writer', ...options });
    this.#worker.on('message', (done: Done) => this.#done(done));
    this.#worker.once('error', (error) => this.#end(error.message));
    this.#worker.once('exit', () => this.#end('it was stopped'));
  }

  /**
   * Takes a job, and copies the bytes of its file, BATCH_BYTES at most. Returns a promise where too much waits to be made: nothing
   * more is given before it resolves. Throws, and it rejects, with what one of the jobs before failed with.
   */
  put(job: Job, bytes?: Uint8Array): Promise<void> | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#used + (bytes?.length ?? 0) > BATCH_BYTES) this.flush();
    this.#jobs.push(job);
    if (bytes !== undefined) {
      this.#bytes.set(bytes, this.#used);
      this.#used += bytes.length;
    }
    if (this.#jobs.length >= BATCH_JOBS) this.flush();
    return this.#under > MOST_BATCHES ? this.#until(() => this.#under <= MOST_BATCHES) : undefined;
  }

  /** Closes a handle once all that was given is made. */
  close(fd: number): void {
    this.#jobs.push({ do: 'close', fd });
  }

  /** What was given is made from now on, however little it is. */
  flush(): void {
    if (this.#jobs.length === 0 || this.#hasEnded) return;
    const batch: Batch = { jobs: this.#jobs, bytes: this.#bytes };
    this.#jobs = [];
    this.#used = 0;
    this.#under += 1;
    this.#worker.postMessage(batch, [batch.bytes.buffer]);
    this.#bytes = this.#free.pop() ?? new Uint8Array(BATCH_BYTES);
  }

  /** Resolves once all that was given is made; rejects with what one of the jobs failed with. */
  async drained(): Promise<void> {
    this.flush();
    await this.#until(() => this.#under === 0);
  }

  /** Waits for what was given, whatever comes of it, and ends the thread. Never rejects. */
  async end(): Promise<void> {
    this.flush();
    await this.#change.until(() => this.#under === 0 || this.#hasEnded);
    if (this.#hasEnded) return;
    const exited = once(this.#worker, 'exit');
    this.#worker.postMessage(STOP);
    await exited.catch(() => undefined);
  }

  async #until(isSo: () => boolean): Promise<void> {
    await this.#change.until(() => this.#failure !== undefined || isSo());
    if (this.#failure !== undefined) throw this.#failure;
  }

  #done({ stamps, bytes, failed }: Done): void {
    this.#under -= 1;
    this.#free.push(bytes);
    try {
      for (const stamp of stamps) this.#onStamp(stamp);
      if (failed !== undefined) this.#failure ??= Object.assign(new Error(failed.message), failed);
    } catch (error) {
      this.#failure ??= error as Error;
    }
    this.#change.notify();
  }

  #end(why: string): void {
    this.#hasEnded = true;
    this.#failure ??= new OverdubError(
      'INTERNAL',
      `The agent's thread that writes files has ended: ${why}`,
      'Repeat it; if it happens again, report it with the kernel log of this machine.',
    );
    this.#change.notify();
  }
}

/** It lies beside this file as a source or in an installation, and beside the agent's one file in a bundle. */
function threadProgram(here: string): { readonly file: URL; readonly execArgv?: string[] } {
  if (here.endsWith('.ts'))
    return { file: new URL('./thread.ts', here), execArgv: ['--conditions=overdub-source'] };
  return { file: new URL(here.endsWith('/writer.js') ? './thread.js' : './imaging-tree-writer.mjs', here) };
}

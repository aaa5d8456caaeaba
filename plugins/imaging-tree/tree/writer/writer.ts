/** A thread that makes the small files of a tree, while this one plans, receives and writes the large ones. */

import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import {
  Condition,
  type FileStamp,
  OverdubError,
  type ThreadProgram,
  threadProgram,
} from '@overdub/core/agent';
import { SHORT_WRITE } from '../write-file.ts';
import { type Batch, type Done, type Job, Jobs, READY, STOP } from './jobs.ts';

/** So much work at a time: some milliseconds of it. */
const BATCH_JOBS = 64;
const BATCH_BYTES = 2 * SHORT_WRITE;
/** And so many batches of it ahead: the memory of a few, and few handles that stay open. */
const MOST_BATCHES = 8;

/** Told of files in the order in which they were given. */
type OnStamp = (stamp: FileStamp | undefined) => void;

export class WriterThread {
  readonly #worker: Worker;
  readonly #onStamp: OnStamp;
  readonly #change = new Condition();
  readonly #stop = new AbortController();
  #jobs: Job[] = [];
  #bytes = new Uint8Array(BATCH_BYTES);
  #used = 0;
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  /** Batches that the thread has not taken yet, since it is only beginning; undefined once it has begun. */
  #waiting: Batch[] | undefined = [];
  /** Makes everything here, where no thread came about. */
  #instead: Jobs | undefined;
  /** Batches that are being made. */
  #under = 0;
  #hasEnded = false;

  /** Undefined where another thread is no help. */
  static start(onStamp: OnStamp): WriterThread | undefined {
    return availableParallelism() < 2 ? undefined : new WriterThread(onStamp);
  }

  /** `program`: of the thread; what {@link start} takes is its own. */
  constructor(
    onStamp: OnStamp,
    program: ThreadProgram = threadProgram(import.meta.url, 'writer', 'imaging-tree-writer.mjs'),
  ) {
    this.#onStamp = onStamp;
    const { file, ...options } = program;
    // The handles that it closes are opened here.
    this.#worker = new Worker(file, { name: 'writer', trackUnmanagedFds: false, ...options });
    this.#worker.on('message', (told: Done | typeof READY) => {
      if (told === READY) this.#begin();
      else this.#done(told);
    });
    this.#worker.once('messageerror', (error) => {
      this.#end(error.message);
      void this.#worker.terminate();
    });
    this.#worker.once('error', (error) => this.#end(error.message));
    this.#worker.once('exit', () => this.#end('it was stopped'));
  }

  /** Aborted, with the first reason, when something could not be made. */
  get failing(): AbortSignal {
    return this.#stop.signal;
  }

  /**
   * Takes a job, and copies the bytes of its file, SHORT_WRITE at most. Returns a promise as {@link room} does. Throws, and the promise
   * rejects, with what one of the jobs before failed with.
   */
  put(job: Job, bytes?: Uint8Array): Promise<void> | undefined {
    this.failing.throwIfAborted();
    if (this.#used + (bytes?.length ?? 0) > BATCH_BYTES) this.flush();
    this.#jobs.push(job);
    if (bytes !== undefined) {
      this.#bytes.set(bytes, this.#used);
      this.#used += bytes.length;
    }
    return this.room();
  }

  /** A promise where too much waits to be made, or to be closed: nothing more is given before it resolves. */
  room(): Promise<void> | undefined {
    if (this.#jobs.length >= BATCH_JOBS) this.flush();
    return this.#under < MOST_BATCHES ? undefined : this.#until(() => this.#under < MOST_BATCHES);
  }

  /** Closes a handle once all that was given is made. */
  close(fd: number): void {
    if (this.#hasEnded) closeSync(fd);
    else this.#jobs.push({ do: 'close', fd });
  }

  /** What was given is made from now on, however little it is. */
  flush(): void {
    if (this.#jobs.length === 0) return;
    const batch: Batch = { jobs: this.#jobs, bytes: this.#bytes };
    this.#jobs = [];
    this.#used = 0;
    this.#post(batch);
    // Behind that: what cannot be posted is not under way.
    this.#under += 1;
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
    if (this.#hasEnded || this.#instead !== undefined) return;
    const exited = once(this.#worker, 'exit');
    this.#worker.postMessage(STOP);
    await exited.catch(() => undefined);
  }

  async #until(isSo: () => boolean): Promise<void> {
    await this.#change.until(() => this.failing.aborted || isSo());
    this.failing.throwIfAborted();
  }

  #post(batch: Batch): void {
    if (this.#instead !== undefined) this.#done(this.#instead.perform(batch));
    else if (this.#waiting !== undefined) this.#waiting.push(batch);
    else this.#worker.postMessage(batch, [batch.bytes.buffer]);
  }

  #begin(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const batch of waiting) this.#post(batch);
  }

  #done({ stamps, bytes, failed }: Done): void {
    this.#under -= 1;
    this.#free.push(bytes);
    try {
      if (!this.failing.aborted) for (const stamp of stamps) this.#onStamp(stamp);
      if (failed !== undefined) this.#stop.abort(Object.assign(new Error(failed.message), failed));
    } catch (error) {
      this.#stop.abort(error);
    }
    this.#change.notify();
  }

  /** One that has not begun is none: then everything is made here, which only takes longer. */
  #end(why: string): void {
    if (this.#waiting !== undefined) {
      this.#instead = new Jobs();
      this.#begin();
    }
    if (this.#instead !== undefined || this.#hasEnded) return;
    this.#hasEnded = true;
    for (const job of this.#jobs.splice(0)) if (job.do === 'close') closeSync(job.fd);
    this.#stop.abort(
      new OverdubError(
        'INTERNAL',
        `The agent's thread that writes files has ended: ${why}`,
        'Repeat it; if it happens again, report it with the kernel log of this machine.',
      ),
    );
    this.#change.notify();
  }
}

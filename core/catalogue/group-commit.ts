/** Transactions that share one: a thousand machines that boot at once cost a few syncs of the disk, not thousands. */

import type { CatalogueDatabase } from './schema.ts';

type Work = (transaction: CatalogueDatabase) => Promise<unknown>;

/** How transactions are run, and made durable. */
export interface Commits {
  /** Resolves when it outlives this process. */
  run(work: (transaction: CatalogueDatabase) => Promise<void>): Promise<void>;
  /** Resolves when what was committed before outlives a power cut. */
  sync(): Promise<void>;
}

interface Waiting {
  readonly work: Work;
  readonly when: 'now' | 'soon';
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs pieces of work in the order they came, as many as have gathered in one transaction. Each either becomes durable
 * or is rejected as if it had been alone: where a shared transaction fails, its pieces are tried one by one, so a piece
 * must bear being run twice.
 */
export class GroupCommit {
  readonly #commits: Commits;
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(commits: Commits) {
    this.#commits = commits;
  }

  /** Somebody waits for it: resolves once it is durable. */
  now<T>(work: (transaction: CatalogueDatabase) => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#waiting.push({ work, when: 'now', resolve: resolve as Waiting['resolve'], reject });
    this.#start();
    return promise;
  }

  /**
   * Nobody waits for it: it may wait for company, `withinMs` at most. Resolves once it outlives this process; durable
   * with the next that somebody waits for.
   */
  soon(withinMs: number, work: (transaction: CatalogueDatabase) => Promise<void>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ work, when: 'soon', resolve: resolve as Waiting['resolve'], reject });
    this.#timer ??= setTimeout(() => this.#start(), withinMs);
    return promise;
  }

  /** Resolves when nothing waits any more, however it ended. */
  async settle(): Promise<void> {
    while (this.#running !== undefined || this.#waiting.length > 0) {
      this.#start();
      await this.#running;
    }
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#running !== undefined || this.#waiting.length === 0) return;
    this.#running = this.#drain().finally(() => {
      this.#running = undefined;
      if (this.#waiting.length > 0) this.#start();
    });
  }

  async #drain(): Promise<void> {
    // A turn of the event loop: whatever else is ready now joins.
    await new Promise((resolve) => setImmediate(resolve));
    const batch = this.#waiting;
    this.#waiting = [];
    const failed = await this.#commit(batch);
    if (failed === undefined) return;
    if (batch.length === 1) return batch[0]?.reject(failed);
    for (const each of batch) {
      const alone = await this.#commit([each]);
      if (alone !== undefined) each.reject(alone);
    }
  }

  /** Resolves with what went wrong, or undefined: then everybody has been told. */
  async #commit(batch: readonly Waiting[]): Promise<unknown> {
    const results: unknown[] = [];
    try {
      await this.#commits.run(async (transaction) => {
        for (const { work } of batch) results.push(await work(transaction));
      });
      if (batch.some(({ when }) => when === 'now')) await this.#commits.sync();
    } catch (error) {
      return error ?? new Error('a transaction failed');
    }
    for (const [at, { resolve }] of batch.entries()) resolve(results[at]);
    return undefined;
  }
}

/** Commits pass together; what needs that none is under way waits for them and holds up the next. */
export class CommitGate {
  #running = 0;
  #closed: Promise<void> | undefined;
  #idle: (() => void) | undefined;

  /** Runs a commit, once the gate is open. */
  async pass<T>(commit: () => Promise<T>): Promise<T> {
    while (this.#closed !== undefined) await this.#closed;
    this.#running += 1;
    try {
      return await commit();
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#idle?.();
    }
  }

  /** Runs `work` while no commit is under way. Keep it short. */
  async close<T>(work: () => Promise<T>): Promise<T> {
    while (this.#closed !== undefined) await this.#closed;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closed = promise;
    try {
      if (this.#running > 0) {
        await new Promise<void>((idle) => {
          this.#idle = idle;
        });
      }
      return await work();
    } finally {
      this.#idle = undefined;
      this.#closed = undefined;
      resolve();
    }
  }
}

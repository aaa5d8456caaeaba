/**
 * Looks for the next packet instead of sleeping until it comes. A core that sleeps takes some 20 to 50 µs to wake up, and a
 * lockstep client waits for that once a block: as long as for everything else. So after each packet the event loop goes
 * round for a moment, as the kernel does with `net.core.busy_poll`; whatever else happens on it is done meanwhile.
 */

/** Longer than a client on the same network thinks; one that is slower costs this much each time, milliseconds. */
const POLL_MS = 0.1;

export class BusyPoll {
  #until = 0;
  #next: NodeJS.Immediate | undefined;

  /** A packet came, and another one is likely. */
  goOn(): void {
    this.#until = performance.now() + POLL_MS;
    this.#next ??= setImmediate(() => this.#look());
  }

  close(): void {
    clearImmediate(this.#next);
    this.#next = undefined;
  }

  #look(): void {
    this.#next = performance.now() < this.#until ? setImmediate(() => this.#look()) : undefined;
  }
}

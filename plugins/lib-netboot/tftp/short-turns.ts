/**
 * Much work in short turns: what else happens on this event loop (a DHCP request, say) comes in between. Without it, a
 * turn of the loop is as long as all clients' packets that came meanwhile, and whoever comes next waits for all of them.
 */

/** Milliseconds of work in a turn of the event loop; one piece of work may go beyond. */
const TURN_MS = 2;

export class ShortTurns {
  readonly #turnMs: number;
  #waiting: (() => void)[] = [];
  #spentMs = 0;
  #next: NodeJS.Immediate | undefined;

  constructor(turnMs = TURN_MS) {
    this.#turnMs = turnMs;
  }

  /** Runs it at once while this turn has time left, else in a later one; always in the order given. It must not throw. */
  run(work: () => void): void {
    this.#next ??= setImmediate(() => this.#turn());
    if (this.#waiting.length > 0 || this.#spentMs >= this.#turnMs) this.#waiting.push(work);
    else this.#timed(work);
  }

  /** What waits is forgotten. */
  close(): void {
    this.#waiting = [];
    clearImmediate(this.#next);
    this.#next = undefined;
  }

  #turn(): void {
    this.#next = undefined;
    this.#spentMs = 0;
    if (this.#waiting.length === 0) return;
    this.#next = setImmediate(() => this.#turn());
    const waiting = this.#waiting;
    let done = 0;
    while (done < waiting.length && this.#spentMs < this.#turnMs) this.#timed(waiting[done++] as () => void);
    // Closed meanwhile, or what is left of it.
    if (this.#waiting === waiting) this.#waiting = waiting.slice(done);
  }

  #timed(work: () => void): void {
    const began = performance.now();
    work();
    this.#spentMs += performance.now() - began;
  }
}

/** Is it the line that answers wait for, or who makes them? */

/** After so long, what was counts for a third: longer than it takes to fill what the system and the receiver keep of a line. */
const REMEMBERED_MS = 1000;
/** Only a line that is empty most of the time can do without: over 40 MB/s a restore moved 380 MB by halves, 311 compressed. */
const CLEARLY = 8;

/** Measures one answer after the other: how long until it was made, and how long until it was gone. */
export class LineGauge {
  readonly #nowMs: () => number;
  #since: number;
  #makingMs = 0;
  #sendingMs = 0;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#since = nowMs();
  }

  /**
   * Does the line take its time with answers? Then they are worth compressing; where it is mostly empty, that would hold up the
   * receiver as well. As long as nothing is known of it, it does.
   */
  get isSlow(): boolean {
    return this.#sendingMs * CLEARLY >= this.#makingMs;
  }

  /** An answer is made, and goes out. */
  made(): void {
    const elapsed = this.#passOn();
    this.#makingMs += elapsed;
  }

  /** It is gone, and the next one is waited for. */
  sent(): void {
    const elapsed = this.#passOn();
    this.#sendingMs += elapsed;
  }

  /** Time since the last call, milliseconds; what was before counts for less. */
  #passOn(): number {
    const before = this.#since;
    this.#since = this.#nowMs();
    const elapsed = this.#since - before;
    const kept = Math.exp(-elapsed / REMEMBERED_MS);
    this.#makingMs *= kept;
    this.#sendingMs *= kept;
    return elapsed;
  }
}

/** Is it the line that answers wait for, or who makes them? */

/** How much the answers before count for, with each one more. */
const KEPT = 0.75;

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
   * Does the line take longer to take answers than they take to be made? Then they are worth compressing; else that would hold
   * up the receiver as well. As long as nothing is known of it, it does.
   */
  get isSlow(): boolean {
    return this.#sendingMs >= this.#makingMs;
  }

  /** An answer is made, and goes out. */
  made(): void {
    this.#makingMs = KEPT * this.#makingMs + this.#elapsed();
  }

  /** It is gone, and the next one is waited for. */
  sent(): void {
    this.#sendingMs = KEPT * this.#sendingMs + this.#elapsed();
  }

  #elapsed(): number {
    const before = this.#since;
    this.#since = this.#nowMs();
    return this.#since - before;
  }
}

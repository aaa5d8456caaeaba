/** Is it the line that answers wait for, or who makes them? */

/** After so long, what was counts for a third: longer than it takes to fill what the system and the receiver keep of a line. */
const REMEMBERED_MS = 1000;
/**
 * Where the receiver waits, only a line that is empty most of the time can do without: over 40 MB/s a restore moved 380 MB by halves,
 * 311 compressed.
 */
const CLEARLY = 8;
/** A receiver that waits less than this part of its time has enough to do: what is compressed would give it more. */
const HARDLY = 1 / 4;
/**
 * Bytes a millisecond of all the time, making included: what is sent leaves the system's buffer meanwhile. More than gigabit Ethernet
 * carries. A line that takes that is none to compress for, whatever it is that waits: on loopback it would be the two of them for the
 * processor.
 */
const FAST = 125_000;

/** Measures one answer after the other, over all fetches of a session: how long until it was made, and how long until it was gone. */
export class LineGauge {
  readonly #nowMs: () => number;
  #waited: number | undefined;
  #since: number;
  #makingMs = 0;
  #sendingMs = 0;
  #sentBytes = 0;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#since = nowMs();
  }

  /**
   * Another fetch is answered from now on. `waited`: the part of its time, 0 to 1, that the receiver waited in the one before, as far as
   * it says so. On this side a receiver that has no time looks like a slow line; on his, a line looks slow when answers are not made yet.
   */
  begin(waited: number | undefined): void {
    this.told(waited);
    this.resume();
  }

  /** Nothing was asked for until now. */
  resume(): void {
    this.#since = this.#nowMs();
  }

  /** The same while one is answered. */
  told(waited: number | undefined): void {
    this.#waited = waited;
  }

  /**
   * Does the line take its time with answers? Then they are worth compressing; where it is mostly empty, that would hold up the
   * receiver as well. As long as nothing is known of it, it does not.
   */
  get isSlow(): boolean {
    if (this.#sentBytes > (this.#makingMs + this.#sendingMs) * FAST) return false;
    if (this.#waited === undefined) return this.#sendingMs > this.#makingMs;
    return this.#waited >= HARDLY && this.#sendingMs * CLEARLY > this.#makingMs;
  }

  /** An answer is made, and goes out. */
  made(): void {
    const elapsed = this.#passOn();
    this.#makingMs += elapsed;
  }

  /** It is gone, so many bytes, and the next one is waited for. */
  sent(bytes: number): void {
    const elapsed = this.#passOn();
    this.#sendingMs += elapsed;
    this.#sentBytes += bytes;
  }

  /** Time since the last call, milliseconds; what was before counts for less. */
  #passOn(): number {
    const before = this.#since;
    this.#since = this.#nowMs();
    const elapsed = this.#since - before;
    const kept = Math.exp(-elapsed / REMEMBERED_MS);
    this.#makingMs *= kept;
    this.#sendingMs *= kept;
    this.#sentBytes *= kept;
    return elapsed;
  }
}

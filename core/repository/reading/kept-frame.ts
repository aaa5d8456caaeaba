import { release } from '../../domain/release.ts';

/**
 * A decoded frame that parts are copied out of: no view of it is left anywhere, so that its memory goes back once it is given up and
 * nobody is taking a part, and does not wait for the collector.
 */
export class KeptFrame {
  readonly #raw: Promise<Uint8Array>;
  #takers = 0;
  #isGivenUp = false;

  /** `raw`: in a buffer that is nobody else's. */
  constructor(raw: Promise<Uint8Array>) {
    this.#raw = raw;
  }

  /** Some bytes of it, in a buffer of their own. Rejects as the frame does. */
  async part(at: number, length: number): Promise<Uint8Array> {
    this.#takers += 1;
    try {
      return Uint8Array.prototype.slice.call(await this.#raw, at, at + length);
    } finally {
      this.#takers -= 1;
      this.#settle();
    }
  }

  /** No part of it is asked for from now on. */
  giveUp(): void {
    this.#isGivenUp = true;
    this.#settle();
  }

  #settle(): void {
    const free = (raw: Uint8Array) => {
      if (this.#isGivenUp && this.#takers === 0) release(raw);
    };
    // A frame that could not be read left nothing; who asked for it knows.
    this.#raw.then(free, () => undefined);
  }
}

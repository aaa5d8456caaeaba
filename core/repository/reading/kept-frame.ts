import { release } from '../../domain/release.ts';

/**
 * A decoded frame that parts are copied out of, or lent: no view of it is left anywhere, so that its memory goes back once it is given
 * up and nobody is taking a part, and does not wait for the collector.
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
  part(at: number, length: number): Promise<Uint8Array> {
    return this.lend(at, length, async (bytes) => Uint8Array.prototype.slice.call(bytes));
  }

  /** Some bytes of it, which `use` may read until it settles. Rejects as the frame or `use` does. */
  async lend<T>(at: number, length: number, use: (bytes: Uint8Array) => Promise<T>): Promise<T> {
    this.#takers += 1;
    try {
      return await use((await this.#raw).subarray(at, at + length));
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

import { release } from '../../domain/release.ts';

/** Parts up to this length are copied: pages of manifests and small files. */
const COPIED_BYTES = 64 * 1024;

/**
 * A decoded frame that parts are taken of. Of a frame of a hundred pages none is a view that would hold all of it: once it is
 * given up, and nobody is taking a part, its memory goes back, and does not wait for the collector.
 */
export class LentFrame {
  readonly #raw: Promise<Uint8Array>;
  #takers = 0;
  #isGivenUp = false;
  /** Is there a view of it somewhere? */
  #isLent = false;

  /** `raw`: in a buffer that is nobody else's. */
  constructor(raw: Promise<Uint8Array>) {
    this.#raw = raw;
  }

  /** Some bytes of it: do not change them, and leave their buffer alone. Rejects as the frame does. */
  async part(at: number, length: number): Promise<Uint8Array> {
    this.#takers += 1;
    try {
      const part = (await this.#raw).subarray(at, at + length);
      if (length <= COPIED_BYTES) return Uint8Array.prototype.slice.call(part);
      this.#isLent = true;
      return part;
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
      if (this.#isGivenUp && this.#takers === 0 && !this.#isLent) release(raw);
    };
    // A frame that could not be read left nothing; who asked for it knows.
    this.#raw.then(free, () => undefined);
  }
}

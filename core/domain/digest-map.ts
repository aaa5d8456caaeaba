import { DigestTable } from './digest-table.ts';
import type { Digest } from './manifest.ts';

/** Digest → a whole number from 0 to 2³² − 2, in about 43 bytes each. Nothing is ever removed. */
export class DigestMap {
  /** The value and one. */
  readonly #table = new DigestTable((slots) => new Uint32Array(slots));

  get size(): number {
    return this.#table.size;
  }

  get(digest: Digest): number | undefined {
    const stored = this.#table.get(digest);
    return stored === 0 ? undefined : stored - 1;
  }

  set(digest: Digest, value: number): void {
    this.#table.put(digest, value + 1);
  }
}

import { DigestTable } from '../domain/digest-table.ts';
import type { Digest } from '../domain/manifest.ts';

const ASKED = 1;
const ARRIVED = 2;

/** What an agent was asked for, and what of it has come: some 50 bytes for each, however many a first overlay has. */
export class Asked {
  readonly #table = new DigestTable((slots) => new Uint8Array(slots));
  #arrived = 0;

  /** Asked for, arrived or not. */
  get size(): number {
    return this.#table.size;
  }

  get arrived(): number {
    return this.#arrived;
  }

  ask(digest: Digest): void {
    if (!this.has(digest)) this.#table.put(digest, ASKED);
  }

  /** Was it asked for? Nothing else is accepted. */
  has(digest: Digest): boolean {
    return this.#table.get(digest) !== 0;
  }

  hasArrived(digest: Digest): boolean {
    return this.#table.get(digest) === ARRIVED;
  }

  /** Only what was asked for arrives. */
  arrive(digest: Digest): void {
    if (this.hasArrived(digest)) return;
    this.#table.put(digest, ARRIVED);
    this.#arrived += 1;
  }
}

/** A queue of entries that grows with what changed, not with what there is: compressed lines in memory. */

import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';

const BATCH_CHARACTERS = 256 * 1024;

/** First in, first out; written once, read once. About 80 bytes an entry. */
export class Spool<T> {
  #packed: Buffer[] = [];
  #open: string[] = [];
  #characters = 0;

  push(item: T): void {
    const line = JSON.stringify(item);
    this.#open.push(line);
    this.#characters += line.length;
    if (this.#characters < BATCH_CHARACTERS) return;
    this.#packed.push(zstdCompressSync(Buffer.from(this.#open.join('\n'))));
    this.#open = [];
    this.#characters = 0;
  }

  /** Gives every item back in order and forgets it. */
  *drain(): Generator<T> {
    for (let packed = this.#packed.shift(); packed !== undefined; packed = this.#packed.shift()) {
      for (const line of zstdDecompressSync(packed).toString().split('\n')) yield JSON.parse(line) as T;
    }
    const rest = this.#open;
    this.#open = [];
    for (const line of rest) yield JSON.parse(line) as T;
  }
}

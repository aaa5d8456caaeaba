/**
 * Chunks of which a read failed twice: they count as missing until somebody stores them again, or who looks for damage (verify, mend), or
 * reads one anew after a failure, finds it sound. A read that succeeds at once does not look here.
 */

import type { DatabaseSync } from 'node:sqlite';
import type { Digest } from '../../domain/manifest.ts';

/** Who is told of what could not be read. */
export type Marks = Pick<Suspects, 'mark' | 'markFrame'>;

/** For who reads what failed once more, and leaves it to that reading. */
export const NO_MARKS: Marks = { mark: () => undefined, markFrame: () => undefined };

/** For a reading that may read a base twice: only when it has failed as a whole does it count what failed on its way. */
export class HeldMarks implements Marks {
  readonly #marks: Marks;
  readonly #held: (() => void)[] = [];

  constructor(marks: Marks) {
    this.#marks = marks;
  }

  mark(digest: Digest): void {
    this.#held.push(() => this.#marks.mark(digest));
  }

  markFrame(pack: string, offset: number): void {
    this.#held.push(() => this.#marks.markFrame(pack, offset));
  }

  /** Marks all of it. */
  release(): void {
    for (const mark of this.#held.splice(0)) mark();
  }
}

const IN_PACK = 'pack = (SELECT id FROM packs WHERE name = ?)';

export class Suspects {
  readonly #database: DatabaseSync;

  /** `database`: the chunk index's own. */
  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  mark(digest: Digest): void {
    this.#mark('digest = ?', Buffer.from(digest, 'hex'));
  }

  /** All that is read from the frame that begins there. */
  markFrame(pack: string, offset: number): void {
    this.#mark(`frame_offset = ? AND ${IN_PACK}`, offset, pack);
  }

  /** All that is read from this pack. */
  markPack(name: string): void {
    this.#mark(IN_PACK, name);
  }

  /** A chunk that was read and is as it should be. */
  clear(digest: Digest): void {
    this.#database
      .prepare('UPDATE chunks SET suspect = 0 WHERE digest = ? AND suspect = 1')
      .run(Buffer.from(digest, 'hex'));
  }

  all(): Digest[] {
    const rows = this.#database.prepare('SELECT digest FROM chunks WHERE suspect = 1').all();
    return rows.map((row) => Buffer.from(row.digest as Uint8Array).toString('hex'));
  }

  #mark(which: string, ...values: (string | number | Buffer)[]): void {
    this.#database.prepare(`UPDATE chunks SET suspect = 1 WHERE ${which}`).run(...values);
  }
}

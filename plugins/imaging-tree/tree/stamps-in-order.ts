/** Stamps of files that are left by two threads, told in the order in which they were begun. */

import type { FileStamp } from '@overdub/core/agent';

interface Begun {
  readonly path: string;
  /** Is it known what it was left as? */
  isLeft: boolean;
  stamp: FileStamp | undefined;
}

export class StampsInOrder {
  readonly #tell: (path: string, stamp: FileStamp) => void;
  /** Begun, and not told of. */
  readonly #begun: Begun[] = [];
  /** How many of them, from the first on, are looked through already. */
  #at = 0;

  constructor(tell: (path: string, stamp: FileStamp) => void) {
    this.#tell = tell;
  }

  /** The next one: what it was left as is told later, by {@link came}. */
  later(path: string): void {
    this.#begun.push({ path, isLeft: false, stamp: undefined });
  }

  /** The next one, which is left; undefined as of {@link came}. */
  now(path: string, stamp: FileStamp | undefined): void {
    if (this.#begun.length > 0) this.#begun.push({ path, isLeft: true, stamp });
    else if (stamp !== undefined) this.#tell(path, stamp);
  }

  /** What the first was left as of those that are told of later: undefined where it is not what it should be. */
  came(stamp: FileStamp | undefined): void {
    const begun = this.#begun[this.#at] as Begun;
    begun.isLeft = true;
    begun.stamp = stamp;
    for (; this.#at < this.#begun.length && this.#begun[this.#at]?.isLeft; this.#at++) {
      const { path, stamp: left } = this.#begun[this.#at] as Begun;
      if (left !== undefined) this.#tell(path, left);
    }
    if (this.#at < this.#begun.length && this.#at < 1024) return;
    this.#begun.splice(0, this.#at);
    this.#at = 0;
  }
}

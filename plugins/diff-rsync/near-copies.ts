/** Lets copies from a target's own place pass, and makes literals of short ones from elsewhere. */

import type { DeltaSink } from './delta-writer.ts';

/** Of a virtual base. */
export interface OwnPlace {
  readonly from: number;
  readonly to: number;
  /** Copies from elsewhere count when so many bytes follow one another. */
  readonly farBytes: number;
}

export class NearCopies implements DeltaSink {
  readonly #target: Uint8Array;
  readonly #own: OwnPlace;
  readonly #sink: DeltaSink;
  #at = 0;
  /** Bytes before `#at` that a copy from elsewhere would make, and where it would end. */
  #far = 0;
  #farEnd = -1;

  constructor(target: Uint8Array, own: OwnPlace, sink: DeltaSink) {
    this.#target = target;
    this.#own = own;
    this.#sink = sink;
  }

  literal(bytes: Uint8Array): void {
    this.#settle();
    this.#sink.literal(bytes);
    this.#at += bytes.length;
  }

  copy(offset: number, length: number): void {
    const isOwn = offset >= this.#own.from && offset + length <= this.#own.to;
    if (isOwn || offset !== this.#farEnd) this.#settle();
    if (isOwn) this.#sink.copy(offset, length);
    else {
      this.#far += length;
      this.#farEnd = offset + length;
    }
    this.#at += length;
  }

  end(): void {
    this.#settle();
    this.#sink.end();
  }

  /** Decides on the copy from elsewhere that has just ended, if there was one. */
  #settle(): void {
    if (this.#far === 0) return;
    if (this.#far >= this.#own.farBytes) this.#sink.copy(this.#farEnd - this.#far, this.#far);
    else this.#sink.literal(this.#target.subarray(this.#at - this.#far, this.#at));
    this.#far = 0;
    this.#farEnd = -1;
  }
}

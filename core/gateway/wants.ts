/** What a fetch wants, in order: said at once, or while what was said before is answered. */

import { Condition } from '../domain/condition.ts';
import { badFrame, FRAME, type Frame } from '../domain/frames.ts';
import type { Digest } from '../domain/manifest.ts';
import { DIGESTS_LIMIT } from '../domain/transfer-bodies.ts';
import { digestsOf, waitedOf } from './read-requests.ts';

export interface Wants {
  /** The digest of this want; undefined where none is, or none is known yet. */
  known(want: number): Digest | undefined;
  /** Resolves once this want is known; with false where there will be none. Rejects with what is wrong with the request. */
  comes(want: number): Promise<boolean>;
}

/** Wants that are known already. */
export function knownWants(digests: readonly Digest[]): Wants {
  return { known: (want) => digests[want], comes: async (want) => want < digests.length };
}

/**
 * All that was asked for is answered, and nothing more comes: whoever asks writes for as long, or keeps us for nothing. One that has gone is
 * noticed by the system. Milliseconds.
 */
const PATIENCE_MS = 6 * 3600 * 1000;

/** Who is told of what comes, in order, before it is known. Rejects where it may not be asked for. */
export interface WantsListener {
  readonly wanted: (digests: readonly Digest[]) => Promise<void>;
  readonly waited: (part: number) => void;
}

/** Wants that come while they are answered. The request is read to its end as it comes: its length is bounded. */
export class StreamedWants implements Wants {
  readonly #digests: Digest[] = [];
  #end: 'all' | { readonly failed: unknown } | undefined;
  readonly #more = new Condition();

  /** `frames`: of the request, behind its head. */
  constructor(frames: AsyncIterable<Frame>, listener: WantsListener) {
    this.#read(frames, listener)
      .then(
        () => {
          this.#end ??= 'all';
        },
        (error: unknown) => {
          this.#end ??= { failed: error };
        },
      )
      .finally(() => this.#more.notify());
  }

  known(want: number): Digest | undefined {
    return this.#digests[want];
  }

  async comes(want: number): Promise<boolean> {
    const patience = setTimeout(() => {
      this.#end ??= { failed: badFrame('no more of it came for six hours') };
      this.#more.notify();
    }, PATIENCE_MS).unref();
    await this.#more.until(() => want < this.#digests.length || this.#end !== undefined);
    clearTimeout(patience);
    if (want < this.#digests.length) return true;
    if (this.#end !== undefined && this.#end !== 'all') throw this.#end.failed;
    return false;
  }

  async #read(frames: AsyncIterable<Frame>, { wanted, waited }: WantsListener): Promise<void> {
    let hasWaited = false;
    for await (const frame of frames) {
      if (frame.type === FRAME.waited) {
        if (hasWaited) throw badFrame('it says twice in a row how long it waited');
        hasWaited = true;
        waited(waitedOf(frame));
        continue;
      }
      hasWaited = false;
      if (frame.type !== FRAME.digests)
        throw badFrame(`it goes on with a frame of the type ${frame.type}, which is none of digests`);
      const digests = digestsOf(frame);
      if (digests.length === 0) throw badFrame('it goes on with a list of no digests');
      if (this.#digests.length + digests.length > DIGESTS_LIMIT)
        throw badFrame('it asks for too much at once');
      await wanted(digests);
      for (const digest of digests) this.#digests.push(digest);
      this.#more.notify();
    }
  }
}

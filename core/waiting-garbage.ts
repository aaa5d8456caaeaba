/** A bound on the garbage of long work. */

import { getHeapStatistics } from 'node:v8';
import { collectNow } from './domain/release.ts';

const WAITING_BYTES = 12 * 1024 * 1024;
/** A collection looks at all that lives: of a large heap more may wait, a fifth of it, so that the work is not all collecting. */
const WAITING_SHARE = 1 / 5;

/**
 * For work on very many small things, of which megabytes of garbage remain every second: V8 lets a heap of 32 MiB double before
 * it marks it, and counts buffers by other rules. Ask it again and again, and no more than this waits to be collected, however
 * busy the machine is: V8's own marking runs beside the work, and comes late where there is no processor left.
 */
export class WaitingGarbage {
  readonly #limit: number;
  /** The least that was in use since it was last collected, bytes. */
  #least = Number.POSITIVE_INFINITY;

  constructor(limit: number = WAITING_BYTES) {
    this.#limit = limit;
  }

  /** Collects all of it, some 30 ms, when enough of it may be waiting. Without leave (see {@link collectNow}) nothing happens. */
  check(): void {
    if (globalThis.gc === undefined) return;
    const { used, heap } = inUse();
    this.#least = Math.min(this.#least, used);
    const waiting = used - this.#least;
    if (waiting < Math.max(this.#limit, WAITING_SHARE * (heap - waiting))) return;
    collectNow();
    this.#least = inUse().used;
  }
}

/** Bytes, buffers among what is used. */
function inUse(): { readonly used: number; readonly heap: number } {
  const { used_heap_size: heap, external_memory: buffers } = getHeapStatistics();
  return { used: heap + buffers, heap };
}

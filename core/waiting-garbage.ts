/** A bound on the garbage of long work. */

import { getHeapStatistics } from 'node:v8';
import { collectNow } from './domain/release.ts';

const WAITING_BYTES = 12 * 1024 * 1024;

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
    const used = bytesInUse();
    this.#least = Math.min(this.#least, used);
    if (used - this.#least < this.#limit) return;
    collectNow();
    this.#least = bytesInUse();
  }
}

function bytesInUse(): number {
  const { used_heap_size: heap, external_memory: buffers } = getHeapStatistics();
  return heap + buffers;
}

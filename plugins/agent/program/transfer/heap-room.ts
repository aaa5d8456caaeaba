/** Room for the garbage collector, as long as a transfer runs. */

import { setFlagsFromString } from 'node:v8';

/** How far the heap may grow before all of it is marked, per cent of what lives in it: as `overdub` starts us, and for a while. */
const GROWING = { usual: 100, roomy: 300 };

/**
 * Gives the heap more room while `work` runs, where the process was given leave (`--expose-gc`, as `overdub` starts it): for one whose heap is
 * small beside the buffers that pass through it. A heap of 13 MiB may then leave 39 of garbage behind instead of 13.
 */
export async function withRoom<T>(work: () => Promise<T>): Promise<T> {
  if (globalThis.gc === undefined) return await work();
  setFlagsFromString(`--heap-growing-percent=${GROWING.roomy}`);
  try {
    return await work();
  } finally {
    setFlagsFromString(`--heap-growing-percent=${GROWING.usual}`);
  }
}

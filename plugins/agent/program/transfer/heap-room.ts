/** Room for the garbage collector, as long as a transfer runs. */

import { setFlagsFromString } from 'node:v8';

/** How far the heap may grow before all of it is marked, per cent of what lives in it: as `overdub` starts us. */
const USUAL = 100;
/** The same for a while: on a server that does its work meanwhile, and on a machine that is there for nothing else. */
export const ROOM = { snapshot: 200, restore: 300 } as const;

/**
 * Gives the heap more room while `work` runs, where the process was given leave (`--expose-gc`, as `overdub` starts it): for one whose heap is
 * small beside the buffers that pass through it. A heap of 13 MiB may then leave 39 of garbage behind instead of 13.
 */
export async function withRoom<T>(percent: number, work: () => Promise<T>): Promise<T> {
  if (globalThis.gc === undefined) return await work();
  setFlagsFromString(`--heap-growing-percent=${percent}`);
  try {
    return await work();
  } finally {
    setFlagsFromString(`--heap-growing-percent=${USUAL}`);
  }
}

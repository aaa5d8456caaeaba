/** Room for the garbage collector, as long as a transfer runs. */

import { setFlagsFromString } from 'node:v8';

/** How far the heap may grow before all of it is marked, per cent of what lives in it: as `overdub` starts us. */
const USUAL = 100;
/**
 * The same for a while: on a server that does its work meanwhile; on a machine that is there for nothing else; and on an appliance
 * that gives out an image, for which it needs less than for anything it takes in.
 */
export const ROOM = { snapshot: 200, restore: 300, reading: 150 } as const;

/** What is under way, each with its own room: the largest counts. */
const taken = new Set<{ readonly percent: number }>();

/**
 * Gives the heap more room until what is returned is called, where the process was given leave (`--expose-gc`, as `overdub` starts it):
 * for one whose heap is small beside the buffers that pass through it. A heap of 13 MiB may then leave 39 of garbage behind
 * instead of 13.
 */
export function takeRoom(percent: number): () => void {
  if (globalThis.gc === undefined) return () => undefined;
  const own = { percent };
  taken.add(own);
  apply();
  return () => {
    if (taken.delete(own)) apply();
  };
}

/** {@link takeRoom} while `work` runs. */
export async function withRoom<T>(percent: number, work: () => Promise<T>): Promise<T> {
  const leave = takeRoom(percent);
  try {
    return await work();
  } finally {
    leave();
  }
}

function apply(): void {
  const percent = Math.max(USUAL, ...[...taken].map((one) => one.percent));
  setFlagsFromString(`--heap-growing-percent=${percent}`);
}

/** Room for the garbage collector, as long as a transfer runs. */

import { setFlagsFromString } from 'node:v8';

/** How much garbage may lie around before the whole heap is marked. */
export interface Room {
  /** How far the heap may grow, per cent of what lives in it. */
  readonly percent: number;
  /**
   * Buffers count among what lives, so that there is room for them as well. Without that V8 marks for each 30 to 60 MiB of them,
   * whatever becomes of them: that was a ninth of what a restore costs the agent (docs/overlays.md).
   */
  readonly buffers?: boolean;
}

/** As `overdub` starts us. */
const USUAL: Room = { percent: 100 };
/**
 * The same for a while: on a server that does its work meanwhile; on a machine that is there for nothing else; and on an appliance
 * that gives out an image, for which it needs less than for anything it takes in.
 */
export const ROOM = {
  snapshot: { percent: 200 },
  restore: { percent: 300, buffers: true },
  /** Of an image of very many files, which are garbage enough without the room for buffers. */
  restoreOfMany: { percent: 200 },
  reading: { percent: 150, buffers: true },
} as const satisfies Record<string, Room>;

/** Of so many entries the files are small: garbage remains of them, where large ones leave buffers, which are freed. */
const MANY_ENTRIES = 250_000;

/** Is this an image of very many files, whose garbage counts for more than room for the collector gains? */
export function hasManyEntries(image: { readonly entries: number }): boolean {
  return image.entries >= MANY_ENTRIES;
}

/** The V8 of older Nodes does not know the flag, and says so for each time. */
const CAN_COUNT_BUFFERS = Number(process.versions.node.split('.')[0]) >= 24;
let hasBuffers = false;

/** What is under way, each with its own room: the largest counts. */
const taken = new Set<Room>();

/**
 * Gives the heap more room until what is returned is called, where the process was given leave (`--expose-gc`, as `overdub` starts it):
 * for one whose heap is small beside the buffers that pass through it. A heap of 13 MiB may then leave 39 of garbage behind
 * instead of 13.
 */
export function takeRoom(room: Room): () => void {
  if (globalThis.gc === undefined) return () => undefined;
  const own = { ...room };
  taken.add(own);
  apply();
  return () => {
    if (taken.delete(own)) apply();
  };
}

/** {@link takeRoom} while `work` runs. */
export async function withRoom<T>(room: Room, work: () => Promise<T>): Promise<T> {
  const leave = takeRoom(room);
  try {
    return await work();
  } finally {
    leave();
  }
}

function apply(): void {
  const rooms = [USUAL, ...taken];
  setFlagsFromString(`--heap-growing-percent=${Math.max(...rooms.map(({ percent }) => percent))}`);
  const buffers = rooms.some((room) => room.buffers === true);
  if (buffers === hasBuffers || !CAN_COUNT_BUFFERS) return;
  hasBuffers = buffers;
  setFlagsFromString(`--${buffers ? '' : 'no-'}external-memory-accounted-in-global-limit`);
}

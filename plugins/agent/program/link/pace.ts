/** Bytes at no more than a given rate, so that a server's snapshots leave its users the line. */

import { setTimeout as delay } from 'node:timers/promises';

/** A piece takes at most about this long, milliseconds: a slow line stays alive, and even. */
const TURN_MS = 250;

/** Time as the pace needs it, milliseconds; tests bring their own. */
export interface PaceClock {
  readonly now: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

const REAL: PaceClock = {
  now: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, { signal }),
};

/**
 * Passes the same bytes on, at most `bytesPerSecond` of them a second from the first on. Time in which the source or
 * the receiver was slow is not made up for later.
 */
export async function* paced(
  source: AsyncIterable<Uint8Array>,
  bytesPerSecond: number,
  signal: AbortSignal,
  clock: PaceClock = REAL,
): AsyncGenerator<Uint8Array> {
  const most = Math.max(1, Math.floor((bytesPerSecond * TURN_MS) / 1000));
  let free = clock.now();
  for await (const bytes of source) {
    for (let from = 0; from < bytes.length; from += most) {
      const piece = bytes.subarray(from, from + most);
      const wait = free - clock.now();
      if (wait > 0) await clock.sleep(wait, signal);
      free = Math.max(free, clock.now()) + (piece.length * 1000) / bytesPerSecond;
      yield piece;
    }
  }
}

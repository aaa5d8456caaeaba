/** What every task works with. */

import { type Imager, OverdubError, type Progress } from '@overdub/core/agent';
import { imagerOf } from '../options.ts';
import type { WorkContext } from '../work.ts';

/** What every task gets besides its own fields. */
export interface TaskContext extends WorkContext {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

/** DRIVER_MISSING when no half brings the imager that the server's record names. */
export function requireImager(context: WorkContext, kind: string): Imager {
  const imager = imagerOf(context.halves, kind);
  if (imager !== undefined) return imager;
  throw new OverdubError(
    'DRIVER_MISSING',
    `The agent has no imager of the kind ${kind}.`,
    `Configure the plugin imaging-${kind}; agents fetch it by themselves.`,
  );
}

/** Wall clock of this machine, nanoseconds. */
export function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

/**
 * Racy timestamps (pitfalls, borg#3536; git's `racy-git`): two writes within one tick of the clock that stamps files leave
 * equal times. Only times that had passed before the file was looked at vouch for it.
 */

import type { FileStamp } from '@overdub/core/agent';

/**
 * The kernel stamps files by a clock that lags the wall clock by up to a tick (10 ms at 100 Hz), and the finest of the coarse
 * filesystems count in 10 ms. The rest is for a clock that is being slewed.
 */
const TICK_NS = 100_000_000n;
/** Some filesystems count whole seconds (ext4 with small inodes), or every other (FAT). */
const COARSE_NS = 2_000_000_000n;
const SECOND_NS = 1_000_000_000n;

/**
 * Is this the stamp of a file that any write after `lookedNs` gives another one? `lookedNs` is the wall clock, read before the
 * file was opened (or looked at, when nothing of it is read). By ctime as well: nobody can set it.
 */
export function isSettled({ mtimeNs, ctimeNs }: FileStamp, lookedNs: bigint): boolean {
  const changed = BigInt(ctimeNs);
  // A change time within a second comes from a filesystem that counts smaller parts.
  const before = lookedNs - (changed % SECOND_NS === 0n ? COARSE_NS : TICK_NS);
  return changed < before && BigInt(mtimeNs) < before;
}

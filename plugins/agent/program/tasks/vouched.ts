/**
 * Records that this very program made by reading every byte of an unmounted disk. Only the ramdisk's agent writes
 * to that disk, so until it does, such a record stands in for hashing everything a second time. Lost with the
 * program: nothing on any disk can claim to be vouched for.
 */

import { recordPath } from '../transfer/state.ts';

const vouched = new Map<string, string>();

export function vouch(server: string, stateDir: string): void {
  vouched.set(server, recordPath(stateDir));
}

/** The record's path; the caller is about to write, so it vouches no longer. */
export function takeVouched(server: string): string | undefined {
  const path = vouched.get(server);
  vouched.delete(server);
  return path;
}

/**
 * Records that this very program made by reading every byte of an unmounted disk. Only the ramdisk's agent writes
 * to that disk, so until it does, such a record stands in for hashing everything a second time. Lost with the
 * program: nothing on any disk can claim to be vouched for.
 */

const vouched = new Map<string, string>();

/** `record`: its path; undefined where it could not be kept, so that none vouches any more. */
export function vouch(server: string, record: string | undefined): void {
  if (record === undefined) vouched.delete(server);
  else vouched.set(server, record);
}

/** The record's path; the caller is about to write, so it vouches no longer. */
export function takeVouched(server: string): string | undefined {
  const path = vouched.get(server);
  vouched.delete(server);
  return path;
}

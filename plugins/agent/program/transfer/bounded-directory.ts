/** Directories of what can be made again: bounded, the newest kept. */

import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Keeps the files that `timeOf` tells a time of, the newest first, as far as `limitBytes` go; removes all others. A
 * directory that is not there holds none.
 */
export async function keepNewest(
  directory: string,
  limitBytes: number,
  timeOf: (name: string) => bigint | undefined,
): Promise<void> {
  const names = await readdir(directory).catch(() => [] as string[]);
  const newestFirst = names
    .filter((name) => timeOf(name) !== undefined)
    .sort((a, b) => Number((timeOf(b) as bigint) - (timeOf(a) as bigint)));
  const kept = new Set<string>();
  let total = 0;
  for (const name of newestFirst) {
    total += (await stat(join(directory, name))).size;
    if (total <= limitBytes) kept.add(name);
  }
  for (const name of names) if (!kept.has(name)) await rm(join(directory, name), { force: true });
}

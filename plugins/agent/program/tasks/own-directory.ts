/** The agent's directory on a server's disk, as whoever broke into the server may have left it. */

import { chmod, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Makes `path` a directory of mode 0700 that holds nothing but directories and regular files, however deep: a link or a
 * device node in there would lead what the ramdisk writes elsewhere, onto a disk even. What was right stays.
 */
export async function ownDirectory(path: string): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found !== undefined && !found.isDirectory()) await rm(path);
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chmod(path, 0o700);
  await removeStrange(path);
}

async function removeStrange(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await removeStrange(path);
    else if (!entry.isFile()) await rm(path);
  }
}

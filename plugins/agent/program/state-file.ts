/** Small JSON files of the agent: whole or absent, whatever happens to the machine. */

import { open, readFile, rename } from 'node:fs/promises';

/** The value; undefined when there is none, or none that can be read: it is cache. */
export async function readState<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}

/**
 * Makes a file outlast a power cut. Only for one that stays: with it ext4 writes out all that was written before, such as what was just
 * restored.
 */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function writeState(path: string, value: unknown, mode = 0o600): Promise<void> {
  const part = `${path}.part`;
  const file = await open(part, 'w', mode);
  try {
    await file.writeFile(`${JSON.stringify(value)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(part, path);
}

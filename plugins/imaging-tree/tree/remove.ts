/** Deleting what a target does not have, without touching what is excluded or kept. */

import { closeSync, lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { openDirectoryAt, within } from './beneath.ts';
import { errorCode } from './libc.ts';
import { fromRaw, fsPath } from './names.ts';

/** Whether an apply must leave a path as it is. */
export type Protected = (path: string, isDirectory: boolean) => boolean;

/** Removes one non-directory; one that is gone already counts as removed. */
export function removeFile(at: string): void {
  try {
    unlinkSync(fsPath(at));
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

/**
 * Removes a directory whose listed entries are gone. What no scan lists (sockets) goes too; what is protected,
 * and mounted filesystems, stay, and then so does the directory: returns false.
 */
export function removeDirectory(
  parentFd: number,
  raw: string,
  path: string,
  isProtected: Protected,
): boolean {
  const at = fsPath(within(parentFd, raw));
  try {
    rmdirSync(at);
    return true;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY') return false;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
  if (!emptyDirectory(parentFd, raw, path, isProtected)) return false;
  rmdirSync(at);
  return true;
}

function emptyDirectory(parentFd: number, raw: string, path: string, isProtected: Protected): boolean {
  const fd = openDirectoryAt(parentFd, raw);
  try {
    const device = lstatSync(within(fd, '.')).dev;
    let empty = true;
    for (const name of readdirSync(within(fd, ''), { encoding: 'latin1' }) as string[]) {
      const child = `${path}/${fromRaw(name)}`;
      const stat = lstatSync(fsPath(within(fd, name)));
      if (isProtected(child, stat.isDirectory()) || stat.dev !== device) empty = false;
      else if (!stat.isDirectory()) removeFile(within(fd, name));
      else if (!removeDirectory(fd, name, child, isProtected)) empty = false;
    }
    return empty;
  } finally {
    closeSync(fd);
  }
}

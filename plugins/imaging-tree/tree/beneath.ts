/**
 * Opening things below a root so that no symbolic link, planted or swapped in, leads anywhere else: every
 * component is opened without following, and work then goes on through `/proc/self/fd/N/name`.
 */

import { closeSync, constants, openSync } from 'node:fs';
import { OverdubError } from '@overdub/core/agent';
import { errorCode, openBeneathNow } from './libc.ts';
import { fsPath, toRaw } from './names.ts';

/** `O_PATH`: a handle on the file itself, without reading, writing or side effects. */
export const O_PATH = 0o10000000;
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const CLOEXEC = 0o2000000;

/** Opens the root itself, following links (the caller named it). INPUT_INVALID when it is no directory. */
export function openRoot(root: string): number {
  try {
    return openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    const code = errorCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    throw new OverdubError(
      'INPUT_INVALID',
      `${root} is ${code === 'ENOENT' ? 'not there' : 'not a directory'}.`,
      'Name an existing directory as the root.',
      { cause: error },
    );
  }
}

/** Path of `rawName` inside the open directory `dirfd`, for any call that takes a path. */
export function within(dirfd: number, rawName: string): string {
  return rawName === '' ? `/proc/self/fd/${dirfd}` : `/proc/self/fd/${dirfd}/${rawName}`;
}

/** Opens a directory by name inside an open one; ENOTDIR or ELOOP when a link stands there. */
export function openDirectoryAt(dirfd: number, rawName: string): number {
  return openSync(fsPath(within(dirfd, rawName)), DIRECTORY);
}

/** Opens `path` (manifest form) below `rootFd`. One call on current kernels, else component by component. */
export function openBeneath(rootFd: number, path: string, flags: number): number {
  if (path === '') return openSync(within(rootFd, ''), flags & ~constants.O_NOFOLLOW);
  const raw = toRaw(path);
  try {
    return openBeneathNow(rootFd, raw, flags | CLOEXEC);
  } catch (error) {
    const code = errorCode(error);
    if (code !== 'ENOSYS' && code !== 'EPERM' && code !== 'ENAMETOOLONG') throw error;
  }
  return openByComponents(rootFd, raw.split('/'), flags);
}

/** The portable way of {@link openBeneath}; exported so that tests cover both. */
export function openByComponents(rootFd: number, components: readonly string[], flags: number): number {
  let at = rootFd;
  try {
    for (const name of components.slice(0, -1)) {
      const next = openDirectoryAt(at, name);
      if (at !== rootFd) closeSync(at);
      at = next;
    }
    return openSync(fsPath(within(at, components.at(-1) as string)), flags | constants.O_NOFOLLOW);
  } finally {
    if (at !== rootFd) closeSync(at);
  }
}

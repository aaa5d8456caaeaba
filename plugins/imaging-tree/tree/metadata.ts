/** Sets owners, modes, extended attributes and times, in the only order in which they all survive. */

import { chmodSync, chownSync, closeSync, fchmodSync, fchownSync, lchownSync, openSync } from 'node:fs';
import type { Entry } from '@overdub/core/agent';
import { O_PATH } from './beneath.ts';
import { PSEUDO_DIRECTORIES } from './excludes.ts';
import {
  errorCode,
  getXattr,
  hasXattrs,
  listXattrs,
  removeXattr,
  setMtime,
  setOpenMtime,
  setXattr,
} from './libc.ts';
import { fromRaw, fsPath, toRaw } from './names.ts';

const O_NOFOLLOW = 0o400000;

/** What an entry says besides its content. */
export type Metadata = Pick<Entry, 'type' | 'mode' | 'uid' | 'gid' | 'mtimeNs' | 'xattrs'>;

/**
 * Owner, then mode (chown clears set-id bits), then extended attributes (chown drops capabilities), then time.
 * `at` names the entry through its parent's handle; a link there is never followed.
 */
export function setMetadata(at: string, wanted: Metadata): void {
  if (wanted.type === 'symlink') {
    lchownSync(fsPath(at), wanted.uid, wanted.gid);
    reconcileXattrs(at, wanted.xattrs, false);
    setMtime(at, wanted.mtimeNs, false);
    return;
  }
  const fd = openSync(fsPath(at), O_PATH | O_NOFOLLOW);
  try {
    setOpenMetadata(fd, wanted);
  } finally {
    closeSync(fd);
  }
}

/** As {@link setMetadata}, on an open handle (O_PATH is enough); not for symbolic links. */
export function setOpenMetadata(fd: number, wanted: Metadata): void {
  const self = `/proc/self/fd/${fd}`;
  chownSync(self, wanted.uid, wanted.gid);
  chmodSync(self, wanted.mode);
  reconcileXattrs(self, wanted.xattrs, true);
  setMtime(self, wanted.mtimeNs, true);
}

/** Owner and mode of a regular file that is open for writing: the first of what {@link setMetadata} sets. */
export function setFileOwnerAndMode(fd: number, wanted: Metadata): void {
  fchownSync(fd, wanted.uid, wanted.gid);
  fchmodSync(fd, wanted.mode);
}

/** What {@link setMetadata} sets after that. */
export function setFileRest(fd: number, wanted: Metadata): void {
  if (wanted.xattrs !== undefined || hasXattrs(fd)) {
    reconcileXattrs(`/proc/self/fd/${fd}`, wanted.xattrs, true);
  }
  setOpenMtime(fd, wanted.mtimeNs);
}

/** Also removes what is not wanted: a new file may have inherited its directory's default ACL. */
function reconcileXattrs(at: string, wanted: Entry['xattrs'], follow: boolean): void {
  const present = listXattrs(at, follow);
  if (present.length === 0 && wanted === undefined) return;
  for (const raw of present) {
    if (wanted?.[fromRaw(raw)] === undefined) removeUnwanted(at, raw, follow);
  }
  for (const [name, value] of Object.entries(wanted ?? {})) {
    const bytes = Buffer.from(value, 'base64');
    const raw = toRaw(name);
    if (present.includes(raw) && getXattr(at, raw, follow)?.equals(bytes)) continue;
    setXattr(at, raw, bytes, follow);
  }
}

/** A security module labels every file by itself and lets nobody take the label away: that is no failure. */
function removeUnwanted(at: string, raw: string, follow: boolean): void {
  try {
    removeXattr(at, raw, follow);
  } catch (error) {
    const kept = raw.startsWith('security.') && raw !== 'security.capability';
    if (!kept || (errorCode(error) !== 'EACCES' && errorCode(error) !== 'EPERM')) throw error;
  }
}

/** Whether two entries of one path agree in owner, mode, time and extended attributes. */
export function sameMetadata(a: Entry, b: Entry): boolean {
  if (PSEUDO_DIRECTORIES.includes(a.path)) return true;
  return (
    a.uid === b.uid &&
    a.gid === b.gid &&
    (a.type === 'symlink' || a.mode === b.mode) &&
    a.mtimeNs === b.mtimeNs &&
    sameXattrs(a.xattrs, b.xattrs)
  );
}

function sameXattrs(a: Entry['xattrs'], b: Entry['xattrs']): boolean {
  if (a === b) return true;
  const left = Object.entries(a ?? {});
  return left.length === Object.keys(b ?? {}).length && left.every(([name, value]) => b?.[name] === value);
}

/** Whether two entries of one path are the same but for {@link sameMetadata}. Sparseness is no difference. */
export function sameSubstance(a: Entry, b: Entry): boolean {
  return (
    a.type === b.type &&
    a.content?.digest === b.content?.digest &&
    a.target === b.target &&
    a.device?.major === b.device?.major &&
    a.device?.minor === b.device?.minor
  );
}

/** Reads a tree's metadata in manifest order. Holds one chain of directories in memory, never the tree. */

import { closeSync, readlinkSync, realpathSync } from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import type { Entry, EntryType, ScannedEntry, ScanOptions } from '@overdub/core/agent';
import { openDirectoryAt, openRoot, within } from './beneath.ts';
import { compileExcludes, compileScope, DEFAULT_EXCLUDES, type Excluded, type Scope } from './excludes.ts';
import { filesystemKind, mountPoints } from './filesystems.ts';
import { errorCode, getXattr, listXattrs } from './libc.ts';
import { byBytes, listNames } from './list.ts';
import { fromRaw, fsPath, toRaw } from './names.ts';
import { type FileStat, stampOf, statAt, statOpen } from './stat.ts';

/** The event loop gets a turn at least this often, in entries. */
const BREATHE_EVERY = 512;

const S_IFMT = 0o170000;
const TYPES: ReadonlyMap<number, EntryType | 'socket'> = new Map([
  [0o140000, 'socket'],
  [0o120000, 'symlink'],
  [0o100000, 'file'],
  [0o060000, 'block'],
  [0o040000, 'directory'],
  [0o020000, 'character'],
  [0o010000, 'fifo'],
]);

interface Walk {
  readonly options: ScanOptions;
  readonly excluded: Excluded;
  readonly scope: Scope;
  /** Real absolute path of the root (raw), to tell bind mounts. */
  readonly rootPath: string;
  readonly mounts: ReadonlySet<string>;
  /** `device:inode` → first path of a hard link group, until all its links were met. */
  readonly links: Map<string, { readonly path: string; left: number }>;
}

/** Something in an open directory. */
interface Found {
  readonly fd: number;
  /** Its name there. */
  readonly raw: string;
  readonly path: string;
  readonly stat: FileStat;
}

/**
 * Entries below `root` in manifest order. The default excludes hold besides `options.excludes`, unless
 * `defaults` says otherwise. Rejects by the signal; whatever else cannot be read is skipped and told.
 */
export async function* scanTree(
  root: string,
  options: ScanOptions,
  defaults: readonly string[] = DEFAULT_EXCLUDES,
): AsyncIterable<ScannedEntry> {
  const rootFd = openRoot(root);
  try {
    const rootPath = realpathSync(root, 'latin1');
    const walk: Walk = {
      options,
      excluded: compileExcludes([...defaults, ...options.excludes]),
      scope: compileScope(options.only),
      rootPath: rootPath === '/' ? '' : rootPath,
      mounts: mountPoints(),
      links: new Map(),
    };
    let count = 0;
    for (const entry of walkRoot(rootFd, walk)) {
      yield entry;
      if (++count % BREATHE_EVERY !== 0) continue;
      await breathe();
      options.signal.throwIfAborted();
    }
    options.signal.throwIfAborted();
  } finally {
    closeSync(rootFd);
  }
}

function* walkRoot(rootFd: number, walk: Walk): Generator<ScannedEntry> {
  walk.options.signal.throwIfAborted();
  const stat = statOpen(rootFd);
  if (walk.scope('') === 'inside') {
    yield describe({ fd: rootFd, raw: '.', path: '', stat }, 'directory', walk);
  }
  yield* walkDirectory(rootFd, '', stat.device, walk);
}

function* walkDirectory(fd: number, path: string, device: string, walk: Walk): Generator<ScannedEntry> {
  for (const raw of listDirectory(fd, path, walk)) {
    const name = fromRaw(raw);
    const child = path === '' ? name : `${path}/${name}`;
    const reach = walk.scope(child);
    if (reach === 'outside') continue;
    const stat = statOr(fd, raw, child, walk);
    if (stat === undefined) continue;
    const type = TYPES.get(stat.mode & S_IFMT);
    const found = { fd, raw, path: child, stat };
    if (type === undefined || type === 'socket') {
      walk.options.onSkip({ path: child, reason: 'socket' });
    } else if (walk.excluded(child, type === 'directory')) {
      walk.options.onSkip({ path: child, reason: 'excluded' });
    } else if (type !== 'directory') {
      const scanned = reach === 'inside' ? describeOr(found, type, walk) : undefined;
      if (scanned !== undefined) yield scanned;
    } else {
      yield* walkChild(found, device, reach === 'inside', walk);
    }
  }
}

function* walkChild(found: Found, device: string, inside: boolean, walk: Walk): Generator<ScannedEntry> {
  const { path, raw, stat } = found;
  const foreign = foreignMount(found, stat.device !== device, walk);
  if (foreign !== undefined) {
    // The directory under the mount is out of sight; a stable time keeps snapshots from differing for nothing.
    if (inside) yield { entry: { ...plainEntry(path, 'directory', stat), mtimeNs: '0' } };
    walk.options.onSkip({ path, reason: foreign });
    return;
  }
  let fd: number;
  try {
    fd = openDirectoryAt(found.fd, raw);
  } catch (error) {
    walk.options.onSkip({ path, reason: skipReason(error) });
    if (inside && errorCode(error) === 'EACCES') yield describe(found, 'directory', walk);
    return;
  }
  try {
    if (inside) yield describe(found, 'directory', walk);
    yield* walkDirectory(fd, path, stat.device, walk);
  } finally {
    closeSync(fd);
  }
}

function foreignMount(
  { fd, raw, path }: Found,
  otherDevice: boolean,
  walk: Walk,
): 'other-filesystem' | 'pseudo-filesystem' | undefined {
  if (!otherDevice) {
    // A mount point on the same device is a bind mount: its content is scanned where it really lies.
    const bound = walk.mounts.size > 0 && walk.mounts.has(`${walk.rootPath}/${toRaw(path)}`);
    return bound ? 'other-filesystem' : undefined;
  }
  const kind = filesystemKind(within(fd, raw));
  if (kind === 'disk') return undefined;
  return kind === 'pseudo' ? 'pseudo-filesystem' : 'other-filesystem';
}

function listDirectory(fd: number, path: string, walk: Walk): string[] {
  try {
    return listNames(fd);
  } catch (error) {
    walk.options.onSkip({ path, reason: skipReason(error) });
    return [];
  }
}

function statOr(fd: number, raw: string, path: string, walk: Walk): FileStat | undefined {
  try {
    return statAt(fd, raw);
  } catch (error) {
    walk.options.onSkip({ path, reason: skipReason(error) });
    return undefined;
  }
}

function skipReason(error: unknown): 'vanished' | 'changing' | 'unreadable' {
  const code = errorCode(error);
  if (code === 'ENOENT') return 'vanished';
  return code === 'ENOTDIR' || code === 'ELOOP' ? 'changing' : 'unreadable';
}

function plainEntry(path: string, type: EntryType, stat: FileStat): Omit<Entry, 'content'> {
  return {
    path,
    type,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    mtimeNs: stat.mtimeNs,
  };
}

function describe(found: Found, type: EntryType, walk: Walk): ScannedEntry {
  const { path, stat } = found;
  const first = type === 'directory' ? undefined : linkedTo(path, stat, walk);
  const kind = first === undefined ? type : 'hardlink';
  const stamp = stampOf(stat);
  const target = first === undefined ? {} : { target: first };
  const known = walk.options.known?.(path, { type: kind, stamp, ...target });
  if (known !== undefined) return known;
  const at = within(found.fd, found.raw);
  const xattrs = readXattrs(at, path, walk);
  const entry: Omit<Entry, 'content'> = {
    ...plainEntry(path, kind, stat),
    ...(first === undefined ? details(type, at, stat) : target),
    ...(xattrs === undefined ? {} : { xattrs }),
  };
  return { entry, stamp };
}

/** A link or file may vanish between its stat and what else is read of it. */
function describeOr(found: Found, type: EntryType, walk: Walk): ScannedEntry | undefined {
  try {
    return describe(found, type, walk);
  } catch (error) {
    walk.options.onSkip({ path: found.path, reason: skipReason(error) });
    return undefined;
  }
}

function details(type: EntryType, at: string, stat: FileStat): Partial<Entry> {
  if (type === 'symlink') return { target: fromRaw(readlinkSync(fsPath(at), 'latin1')) };
  if (type === 'character' || type === 'block') return { device: stat.stands };
  return type === 'file' && stat.blocks * 512 < stat.size ? { sparse: true } : {};
}

function linkedTo(path: string, stat: FileStat, walk: Walk): string | undefined {
  if (stat.links < 2) return undefined;
  const key = `${stat.device}:${stat.inode}`;
  const group = walk.links.get(key);
  if (group === undefined) {
    walk.links.set(key, { path, left: stat.links - 1 });
    return undefined;
  }
  if (--group.left === 0) walk.links.delete(key);
  return group.path;
}

function readXattrs(at: string, path: string, walk: Walk): Record<string, string> | undefined {
  let names: string[];
  try {
    names = listXattrs(at);
  } catch (error) {
    walk.options.onSkip({ path, reason: skipReason(error) });
    return undefined;
  }
  if (names.length === 0) return undefined;
  const values: [string, string][] = [];
  for (const name of names.sort(byBytes)) {
    try {
      const value = getXattr(at, name);
      if (value !== undefined) values.push([fromRaw(name), value.toString('base64')]);
    } catch {
      walk.options.onSkip({ path, reason: 'unreadable' });
    }
  }
  return values.length === 0 ? undefined : Object.fromEntries(values);
}

/** Reads a tree's metadata in manifest order. Holds one chain of directories in memory, never the tree. */

import { type BigIntStats, closeSync, lstatSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import type { Entry, EntryType, FileStamp, ScannedEntry, ScanOptions } from '@overdub/core/agent';
import { openDirectoryAt, openRoot, within } from './beneath.ts';
import { compileExcludes, compileScope, DEFAULT_EXCLUDES, type Excluded, type Scope } from './excludes.ts';
import { filesystemKind, mountPoints } from './filesystems.ts';
import { errorCode, getXattr, listXattrs, splitDevice } from './libc.ts';
import { fromRaw, fsPath, toRaw } from './names.ts';

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
  const at = within(rootFd, '.');
  const stat = lstatSync(at, { bigint: true });
  if (walk.scope('') === 'inside') yield describe('', 'directory', at, stat, walk);
  yield* walkDirectory(rootFd, '', stat.dev, walk);
}

function* walkDirectory(fd: number, path: string, device: bigint, walk: Walk): Generator<ScannedEntry> {
  for (const raw of listDirectory(fd, path, walk)) {
    const name = fromRaw(raw);
    const child = path === '' ? name : `${path}/${name}`;
    const reach = walk.scope(child);
    if (reach === 'outside') continue;
    const at = within(fd, raw);
    const stat = lstatOr(at, child, walk);
    if (stat === undefined) continue;
    const type = TYPES.get(Number(stat.mode) & S_IFMT);
    if (type === undefined || type === 'socket') {
      walk.options.onSkip({ path: child, reason: 'socket' });
    } else if (walk.excluded(child, type === 'directory')) {
      walk.options.onSkip({ path: child, reason: 'excluded' });
    } else if (type !== 'directory') {
      const scanned = reach === 'inside' ? describeOr(child, type, at, stat, walk) : undefined;
      if (scanned !== undefined) yield scanned;
    } else {
      yield* walkChild(fd, raw, child, stat, device, reach === 'inside', walk);
    }
  }
}

function* walkChild(
  parentFd: number,
  raw: string,
  path: string,
  stat: BigIntStats,
  device: bigint,
  inside: boolean,
  walk: Walk,
): Generator<ScannedEntry> {
  const at = within(parentFd, raw);
  const foreign = foreignMount(at, path, stat.dev !== device, walk);
  if (foreign !== undefined) {
    // The directory under the mount is out of sight; a stable time keeps snapshots from differing for nothing.
    if (inside) yield { entry: { ...plainEntry(path, 'directory', stat), mtimeNs: '0' } };
    walk.options.onSkip({ path, reason: foreign });
    return;
  }
  let fd: number;
  try {
    fd = openDirectoryAt(parentFd, raw);
  } catch (error) {
    walk.options.onSkip({ path, reason: skipReason(error) });
    if (inside && errorCode(error) === 'EACCES') yield describe(path, 'directory', at, stat, walk);
    return;
  }
  try {
    if (inside) yield describe(path, 'directory', at, stat, walk);
    yield* walkDirectory(fd, path, stat.dev, walk);
  } finally {
    closeSync(fd);
  }
}

function foreignMount(
  at: string,
  path: string,
  otherDevice: boolean,
  walk: Walk,
): 'other-filesystem' | 'pseudo-filesystem' | undefined {
  if (!otherDevice) {
    // A mount point on the same device is a bind mount: its content is scanned where it really lies.
    const bound = walk.mounts.size > 0 && walk.mounts.has(`${walk.rootPath}/${toRaw(path)}`);
    return bound ? 'other-filesystem' : undefined;
  }
  const kind = filesystemKind(at);
  if (kind === 'disk') return undefined;
  return kind === 'pseudo' ? 'pseudo-filesystem' : 'other-filesystem';
}

function listDirectory(fd: number, path: string, walk: Walk): string[] {
  try {
    return (readdirSync(within(fd, ''), { encoding: 'latin1' }) as string[]).sort(byBytes);
  } catch (error) {
    walk.options.onSkip({ path, reason: skipReason(error) });
    return [];
  }
}

/** Latin-1 strings compare as the bytes they stand for. */
function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function lstatOr(at: string, path: string, walk: Walk): BigIntStats | undefined {
  try {
    return lstatSync(fsPath(at), { bigint: true });
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

function plainEntry(path: string, type: EntryType, stat: BigIntStats): Omit<Entry, 'content'> {
  return {
    path,
    type,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: String(stat.mtimeNs),
  };
}

function describe(path: string, type: EntryType, at: string, stat: BigIntStats, walk: Walk): ScannedEntry {
  const first = type === 'directory' ? undefined : linkedTo(path, stat, walk);
  const kind = first === undefined ? type : 'hardlink';
  const known = walk.options.known?.(path);
  if (known?.stamp !== undefined && isAsKnown(known.entry, known.stamp, kind, first, stat)) {
    return { entry: known.entry, stamp: known.stamp };
  }
  const xattrs = readXattrs(at, path, walk);
  const entry: Omit<Entry, 'content'> = {
    ...plainEntry(path, kind, stat),
    ...(first === undefined ? details(type, at, stat) : { target: first }),
    ...(xattrs === undefined ? {} : { xattrs }),
  };
  return { entry, stamp: stampOf(stat) };
}

function isAsKnown(
  entry: ScannedEntry['entry'],
  stamp: FileStamp,
  kind: EntryType,
  first: string | undefined,
  stat: BigIntStats,
): boolean {
  return (
    entry.type === kind &&
    (first === undefined || entry.target === first) &&
    stat.ctimeNs === BigInt(stamp.ctimeNs) &&
    stat.mtimeNs === BigInt(stamp.mtimeNs) &&
    stat.ino === BigInt(stamp.inode) &&
    Number(stat.size) === stamp.size
  );
}

/** A link or file may vanish between its stat and what else is read of it. */
function describeOr(
  path: string,
  type: EntryType,
  at: string,
  stat: BigIntStats,
  walk: Walk,
): ScannedEntry | undefined {
  try {
    return describe(path, type, at, stat, walk);
  } catch (error) {
    walk.options.onSkip({ path, reason: skipReason(error) });
    return undefined;
  }
}

function details(type: EntryType, at: string, stat: BigIntStats): Partial<Entry> {
  if (type === 'symlink') return { target: fromRaw(readlinkSync(fsPath(at), 'latin1')) };
  if (type === 'character' || type === 'block') return { device: splitDevice(stat.rdev) };
  return type === 'file' && stat.blocks * 512n < stat.size ? { sparse: true } : {};
}

function linkedTo(path: string, stat: BigIntStats, walk: Walk): string | undefined {
  if (stat.nlink < 2n) return undefined;
  const key = `${stat.dev}:${stat.ino}`;
  const group = walk.links.get(key);
  if (group === undefined) {
    walk.links.set(key, { path, left: Number(stat.nlink) - 1 });
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

/** The stat fields by which a later scan tells that a file did not change. */
export function stampOf(stat: BigIntStats): FileStamp {
  return {
    size: Number(stat.size),
    mtimeNs: String(stat.mtimeNs),
    ctimeNs: String(stat.ctimeNs),
    inode: String(stat.ino),
    device: String(stat.dev),
  };
}

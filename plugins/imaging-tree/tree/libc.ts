/**
 * The few system calls that Node does not offer, through koffi. Paths are bytes in Latin-1 strings (one character
 * a byte), so that names that are not UTF-8 pass unharmed. Failures throw like Node's own, with `code` and `errno`.
 */

import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';

type Native = (...values: unknown[]) => number;

interface Libc {
  readonly listxattr: Native;
  readonly llistxattr: Native;
  readonly getxattr: Native;
  readonly lgetxattr: Native;
  readonly setxattr: Native;
  readonly lsetxattr: Native;
  readonly removexattr: Native;
  readonly lremovexattr: Native;
  readonly mknod: Native;
  readonly flistxattr: Native;
  readonly utimensat: Native;
  readonly futimens: Native;
  readonly mount: Native;
  readonly umount2: Native;
  readonly syncfs: Native;
  readonly syscall: Native;
  readonly statx: Native;
  readonly getdents64: Native;
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_NO_AUTOMOUNT = 0x800;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;
const UTIME_OMIT = 0x3ffffffen;
/** Linux allows no longer list and no longer value (XATTR_LIST_MAX, XATTR_SIZE_MAX). */
const XATTR_MAX = 65536;

let loaded: Libc | undefined;

/** Loaded on first use: importing this file has no side effects. */
function libc(): Libc {
  if (loaded !== undefined) return loaded;
  const library = koffi.load('libc.so.6');
  const bind = (prototype: string): Native => library.func(prototype) as unknown as Native;
  loaded = {
    listxattr: bind('int64_t listxattr(void *path, void *list, size_t size)'),
    llistxattr: bind('int64_t llistxattr(void *path, void *list, size_t size)'),
    getxattr: bind('int64_t getxattr(void *path, void *name, void *value, size_t size)'),
    lgetxattr: bind('int64_t lgetxattr(void *path, void *name, void *value, size_t size)'),
    setxattr: bind('int setxattr(void *path, void *name, void *value, size_t size, int flags)'),
    lsetxattr: bind('int lsetxattr(void *path, void *name, void *value, size_t size, int flags)'),
    removexattr: bind('int removexattr(void *path, void *name)'),
    lremovexattr: bind('int lremovexattr(void *path, void *name)'),
    mknod: bind('int mknod(void *path, uint32_t mode, uint64_t dev)'),
    flistxattr: bind('int64_t flistxattr(int fd, void *list, size_t size)'),
    futimens: bind('int futimens(int fd, void *times)'),
    utimensat: bind('int utimensat(int dirfd, void *path, void *times, int flags)'),
    mount: bind('int mount(void *source, void *target, void *type, uint64_t flags, void *data)'),
    umount2: bind('int umount2(void *target, int flags)'),
    syncfs: bind('int syncfs(int fd)'),
    syscall: bind('int64_t syscall(int64_t number, int64_t a, void *b, void *c, uint64_t d)'),
    statx: bind('int statx(int dirfd, void *path, int flags, uint32_t mask, void *fields)'),
    getdents64: bind('int64_t getdents64(int fd, void *entries, size_t size)'),
  };
  return loaded;
}

/** A failed system call, shaped like Node's own errors. */
export interface SystemError extends Error {
  readonly code: string;
  readonly errno: number;
}

/** The `code` of a system error (`ENOENT`), or undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

function check(result: number, call: string, path: string): number {
  if (result >= 0) return result;
  const errno = koffi.errno();
  const code = getSystemErrorName(-errno);
  throw Object.assign(new Error(`${code}: ${call} '${path}'`), { code, errno: -errno, syscall: call, path });
}

function c(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'latin1');
}

const scratch = Buffer.allocUnsafe(XATTR_MAX);

/** Names of a file's extended attributes; none where the filesystem has none. `follow` resolves a final link. */
export function listXattrs(path: string, follow = false): string[] {
  const call = follow ? libc().listxattr : libc().llistxattr;
  const at = c(path);
  // Nearly all files have none; without a buffer the question costs two thirds.
  if (call(at, null, 0) === 0) return [];
  const length = call(at, scratch, XATTR_MAX);
  if (length === 0) return [];
  if (length < 0 && koffi.errno() === 95) return [];
  check(length, 'listxattr', path);
  return scratch.toString('latin1', 0, length - 1).split('\0');
}

/** Whether an open file has any; false where the filesystem has none. */
export function hasXattrs(fd: number): boolean {
  const length = libc().flistxattr(fd, null, 0);
  if (length < 0 && koffi.errno() === 95) return false;
  return check(length, 'flistxattr', `fd ${fd}`) > 0;
}

/** Value of one extended attribute; undefined when it is not there. */
export function getXattr(path: string, name: string, follow = false): Buffer | undefined {
  const call = follow ? libc().getxattr : libc().lgetxattr;
  const length = call(c(path), c(name), scratch, XATTR_MAX);
  if (length < 0 && koffi.errno() === 61) return undefined;
  check(length, `getxattr ${name}`, path);
  return Buffer.from(scratch.subarray(0, length));
}

/** Sets one extended attribute, new or not. */
export function setXattr(path: string, name: string, value: Uint8Array, follow = false): void {
  const call = follow ? libc().setxattr : libc().lsetxattr;
  check(call(c(path), c(name), value, value.length, 0), `setxattr ${name}`, path);
}

/** Removes one extended attribute. */
export function removeXattr(path: string, name: string, follow = false): void {
  const call = follow ? libc().removexattr : libc().lremovexattr;
  check(call(c(path), c(name)), `removexattr ${name}`, path);
}

/** `mknod(2)`; `mode` holds type and permission bits. */
export function makeNode(path: string, mode: number, major: number, minor: number): void {
  check(libc().mknod(c(path), mode, deviceNumber(major, minor)), 'mknod', path);
}

/** glibc's `makedev(3)`. */
export function deviceNumber(major: number, minor: number): bigint {
  const high = BigInt(major);
  const low = BigInt(minor);
  return (
    ((high & 0xfffff000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffffff00n) << 12n) | (low & 0xffn)
  );
}

/** Sets the modification time in nanoseconds, leaving the access time. `follow` false acts on a link itself. */
export function setMtime(path: string, mtimeNs: string, follow = false): void {
  const flags = follow ? 0 : AT_SYMLINK_NOFOLLOW;
  check(libc().utimensat(AT_FDCWD, c(path), timesOf(mtimeNs), flags), 'utimensat', path);
}

/** As {@link setMtime}, of an open file. */
export function setOpenMtime(fd: number, mtimeNs: string): void {
  check(libc().futimens(fd, timesOf(mtimeNs)), 'futimens', `fd ${fd}`);
}

/** Two `struct timespec`: the access time left alone, the modification time. Filled anew for each call. */
const TIMES = new BigInt64Array([0n, UTIME_OMIT, 0n, 0n]);
const TIMES_BYTES = new Uint8Array(TIMES.buffer);
const BILLION = 1_000_000_000n;

function timesOf(mtimeNs: string): Uint8Array {
  if (mtimeNs.length > 9 && !mtimeNs.startsWith('-')) {
    // As they stand in the text: a division of so large a number takes longer than the rest.
    TIMES[2] = BigInt(mtimeNs.slice(0, -9));
    TIMES[3] = BigInt(mtimeNs.slice(-9));
    return TIMES_BYTES;
  }
  const time = BigInt(mtimeNs);
  const nanoseconds = ((time % BILLION) + BILLION) % BILLION;
  TIMES[2] = (time - nanoseconds) / BILLION;
  TIMES[3] = nanoseconds;
  return TIMES_BYTES;
}

/** Flags of `mount(2)` that are used here. */
export const MOUNT_FLAGS = { noSuid: 2, noDev: 4, noExec: 8, noAtime: 1024 } as const;

/** `mount(2)`. */
export function mountDevice(device: string, target: string, type: string, flags: number, data = ''): void {
  check(libc().mount(c(device), c(target), c(type), flags, c(data)), `mount ${device}`, target);
}

/** `umount2(2)`. */
export function unmount(target: string): void {
  check(libc().umount2(c(target), 0), 'umount', target);
}

/** Writes back the whole filesystem that holds the open file `fd`. */
export function syncFilesystem(fd: number): void {
  check(libc().syncfs(fd), 'syncfs', `fd ${fd}`);
}

/** No name is longer (NAME_MAX), and calls by the ten thousand need no buffer each. */
const nameBuffer = Buffer.alloc(256);

/** `statx(2)` of a name in an open directory, or of the handle itself when it is empty; a link is not followed. */
export function statxAt(dirfd: number, rawName: string, fields: Uint8Array): void {
  nameBuffer[nameBuffer.write(rawName, 0, 255, 'latin1')] = 0;
  const flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH;
  const result = libc().statx(dirfd, nameBuffer, flags, STATX_BASIC_STATS, fields);
  if (result !== 0) check(result, 'statx', rawName);
}

/** `getdents64(2)`: bytes of entries put into `entries`; 0 at the end. */
export function getDents(fd: number, entries: Uint8Array): number {
  return check(Number(libc().getdents64(fd, entries, entries.length)), 'getdents64', `fd ${fd}`);
}

const SYS_OPENAT2 = 437;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;

/**
 * `openat2(2)` below `dirfd`: fails with ELOOP on any symbolic link, EXDEV on any way out. Throws ENOSYS on
 * kernels before 5.6 and EPERM in containers that filter the call.
 */
export function openBeneathNow(dirfd: number, path: string, flags: number): number {
  const how = new BigUint64Array([
    BigInt(flags),
    0n,
    BigInt(RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH),
  ]);
  const bytes = new Uint8Array(how.buffer);
  return check(Number(libc().syscall(SYS_OPENAT2, dirfd, c(path), bytes, 24)), 'openat2', path);
}

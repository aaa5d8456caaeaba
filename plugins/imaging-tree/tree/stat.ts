/**
 * What the kernel says of files, by name inside an open directory: no path is built or walked, so that no link can lead
 * astray, and it costs less than half of `lstat` through `/proc/self/fd`. statx(2), which glibc emulates on older kernels.
 */

import type { FileStamp } from '@overdub/core/agent';
import { deviceNumber, statxAt } from './libc.ts';

/** The fields of one file. */
export interface FileStat {
  /** Type and permission bits. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Of 512 bytes. */
  readonly blocks: number;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
  readonly inode: string;
  /** What it lies on, as `st_dev`. */
  readonly device: string;
  /** What a device node stands for. */
  readonly stands: { readonly major: number; readonly minor: number };
}

/** `struct statx`, in the machine's order: every architecture that is supported has the lowest byte first. */
const fields = new DataView(new ArrayBuffer(256));
const memory = new Uint8Array(fields.buffer);
const LITTLE = true;

/** Of the file `raw` (Latin-1) in the open directory `dirfd`, of a link itself. Throws like Node's `lstat`. */
export function statAt(dirfd: number, raw: string): FileStat {
  statxAt(dirfd, raw, memory);
  return readFields();
}

/** Of an open file. */
export function statOpen(fd: number): FileStat {
  return statAt(fd, '');
}

/** The fields by which a later scan tells that a file did not change. */
export function stampOf({ size, mtimeNs, ctimeNs, inode, device }: FileStat): FileStamp {
  return { size, mtimeNs, ctimeNs, inode, device };
}

function readFields(): FileStat {
  return {
    mode: fields.getUint16(28, LITTLE),
    links: fields.getUint32(16, LITTLE),
    uid: fields.getUint32(20, LITTLE),
    gid: fields.getUint32(24, LITTLE),
    size: fields.getUint32(40, LITTLE) + fields.getUint32(44, LITTLE) * 2 ** 32,
    blocks: fields.getUint32(48, LITTLE) + fields.getUint32(52, LITTLE) * 2 ** 32,
    mtimeNs: nanoseconds(112),
    ctimeNs: nanoseconds(96),
    inode: wholeNumber(32),
    device: deviceName(fields.getUint32(136, LITTLE), fields.getUint32(140, LITTLE)),
    stands: { major: fields.getUint32(128, LITTLE), minor: fields.getUint32(132, LITTLE) },
  };
}

/** Decimal, without a BigInt where a double holds it. */
function wholeNumber(at: number): string {
  const high = fields.getUint32(at + 4, LITTLE);
  if (high >= 2 ** 21) return String(fields.getBigUint64(at, LITTLE));
  return String(high * 2 ** 32 + fields.getUint32(at, LITTLE));
}

/** Of a `struct statx_timestamp`: seconds, which may be before 1970, and nanoseconds, which count up from them. */
function nanoseconds(at: number): string {
  const part = fields.getUint32(at + 8, LITTLE);
  const seconds = fields.getUint32(at, LITTLE);
  if (fields.getInt32(at + 4, LITTLE) === 0 && seconds > 0) return `${seconds}${String(1e9 + part).slice(1)}`;
  return String(fields.getBigInt64(at, LITTLE) * 1_000_000_000n + BigInt(part));
}

let lastDevice = { major: -1, minor: -1, name: '' };

/** A tree lies on one device, or few. */
function deviceName(major: number, minor: number): string {
  if (major !== lastDevice.major || minor !== lastDevice.minor) {
    lastDevice = { major, minor, name: String(deviceNumber(major, minor)) };
  }
  return lastDevice.name;
}

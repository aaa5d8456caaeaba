/** Names in an open directory, as the kernel hands them out (getdents64(2)): in pieces, without opening it anew. */

import { getDents } from './libc.ts';

/** What glibc asks for at a time. */
const PIECE_BYTES = 32 * 1024;
/** Of a `struct linux_dirent64`: its length, and where its name begins. */
const LENGTH_AT = 16;
const NAME_AT = 19;

const piece = Buffer.alloc(PIECE_BYTES);

/** Raw names (Latin-1) sorted as bytes, without `.` and `..`. Reads from where `fd` stands: a fresh handle gives all. */
export function listNames(fd: number): string[] {
  const names: string[] = [];
  for (let length = getDents(fd, piece); length > 0; length = getDents(fd, piece)) {
    const text = piece.toString('latin1', 0, length);
    for (let at = 0; at < length; at += piece.readUInt16LE(at + LENGTH_AT)) {
      const name = text.slice(at + NAME_AT, text.indexOf('\0', at + NAME_AT));
      if (name !== '.' && name !== '..') names.push(name);
    }
  }
  return names.sort(byBytes);
}

/** Latin-1 strings compare as the bytes they stand for. */
export function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Tar headers: POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU. Pure; bytes in, records out. */

import { decodeName, OverdubError } from '@overdub/core/agent';

export const BLOCK = 512;

/** A header block as it is, before pax records and GNU long names change it. Strings are raw names. */
export interface TarHeader {
  readonly path: string;
  readonly typeflag: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly bytes: number;
  readonly mtime: number;
  readonly linkname: string;
  readonly major: number;
  readonly minor: number;
  /** Whole block, for GNU's sparse map. */
  readonly block: Buffer;
}

/** Parses a header block; undefined for a block of zeros (end of archive). IMAGE_INVALID on a wrong checksum. */
export function parseHeader(block: Buffer): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  const magic = block.toString('latin1', 257, 265);
  const sum = number(block, 148, 8);
  if (sum !== checksum(block)) {
    throw invalid('it is damaged, or no tar archive: a header has a wrong checksum');
  }
  const name = text(block, 0, 100);
  const prefix = magic.startsWith('ustar\0') ? text(block, 345, 155) : '';
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    typeflag: String.fromCharCode(block[156] as number),
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    bytes: number(block, 124, 12),
    mtime: number(block, 136, 12),
    linkname: text(block, 157, 100),
    major: number(block, 329, 8),
    minor: number(block, 337, 8),
    block,
  };
}

function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let at = 0; at < BLOCK; at++) if (at < 148 || at >= 156) sum += block[at] as number;
  return sum;
}

function text(block: Buffer, from: number, length: number): string {
  const end = block.subarray(from, from + length).indexOf(0);
  return decodeName(block.subarray(from, from + (end < 0 ? length : end)));
}

/** Octal digits, or GNU's base 256 (first bit set). */
export function number(block: Buffer, from: number, length: number): number {
  const first = block[from] as number;
  if ((first & 0x80) === 0) {
    const digits = block
      .toString('latin1', from, from + length)
      .replace(/[\0 ]+$/, '')
      .trim();
    if (digits === '') return 0;
    if (!/^[0-7]+$/.test(digits)) throw invalid('a number in a header is malformed');
    return Number.parseInt(digits, 8);
  }
  let value = BigInt(first === 0xff ? -1 : first & 0x7f);
  for (let at = from + 1; at < from + length; at++) value = (value << 8n) | BigInt(block[at] as number);
  const small = Number(value);
  if (!Number.isSafeInteger(small)) throw invalid('a number in a header is out of range');
  return small;
}

/** pax records (`length key=value\n`), values as bytes. IMAGE_INVALID when malformed. */
export function parsePax(body: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const length = Number(body.toString('latin1', at, Math.max(at, space)));
    const equals = body.indexOf(0x3d, space);
    const end = at + length;
    if (
      space < 0 ||
      !(length > 0) ||
      equals < 0 ||
      equals >= end ||
      end > body.length ||
      body[end - 1] !== 0x0a
    ) {
      throw invalid('an extended header is malformed');
    }
    records.set(body.toString('utf8', space + 1, equals), body.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

/** `1700000000.123456789` → nanoseconds, decimal. Digits past the ninth are cut. */
export function parseTime(value: string): string {
  const match = /^(-?)([0-9]+)(?:\.([0-9]*))?$/.exec(value);
  if (match === null) throw invalid('a time in an extended header is malformed');
  const nanoseconds =
    BigInt(match[2] as string) * 1_000_000_000n + BigInt((match[3] ?? '').padEnd(9, '0').slice(0, 9));
  return String(match[1] === '-' ? -nanoseconds : nanoseconds);
}

/** An IMAGE_INVALID about an archive; callers add which one and where. */
export function invalid(why: string): OverdubError {
  return new OverdubError('IMAGE_INVALID', why, REMEDY);
}

export const REMEDY =
  'Make the archive again from a source you trust, and compare its checksum after copying.';

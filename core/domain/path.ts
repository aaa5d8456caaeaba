/** Paths inside images: byte-exact names as JavaScript strings, ordered, unable to escape. */

import { OverdubError } from '../errors.ts';

const ESCAPE_BASE = 0xdc00;
/** From here on code units do not order as the bytes they stand for. */
const SURROGATES = 0xd800;

/** File-system bytes → string. Bytes that are not UTF-8 become U+DC80…U+DCFF (PEP 383). */
export function decodeName(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString('utf8');
  if (!text.includes('\ufffd') || Buffer.from(text, 'utf8').equals(buffer)) return text;
  let out = '';
  for (let at = 0; at < buffer.length; ) {
    const length = utf8SequenceLength(buffer, at);
    if (length === 0) {
      out += String.fromCharCode(ESCAPE_BASE + (buffer[at] as number));
      at += 1;
    } else {
      out += buffer.toString('utf8', at, at + length);
      at += length;
    }
  }
  return out;
}

/** The reverse of {@link decodeName}. */
export function encodeName(name: string): Buffer {
  if (!/[\udc80-\udcff]/.test(name)) return Buffer.from(name, 'utf8');
  const parts: Buffer[] = [];
  for (const character of name) {
    const code = character.charCodeAt(0);
    const escaped = character.length === 1 && code >= 0xdc80 && code <= 0xdcff;
    parts.push(escaped ? Buffer.from([code - ESCAPE_BASE]) : Buffer.from(character, 'utf8'));
  }
  return Buffer.concat(parts);
}

function utf8SequenceLength(buffer: Buffer, at: number): number {
  for (let length = 1; length <= 4 && at + length <= buffer.length; length++) {
    const text = buffer.toString('utf8', at, at + length);
    if (!text.includes('\ufffd')) return length;
    if (text === '\ufffd' && length === 3 && buffer[at] === 0xef) return 3;
  }
  return 0;
}

/**
 * Manifest order: by bytes, `/` before every other byte, so that a directory's children follow it
 * directly. Total; returns <0, 0 or >0.
 */
export function comparePaths(a: string, b: string): number {
  if (a === b) return 0;
  const shared = Math.min(a.length, b.length);
  for (let at = 0; at < shared; at++) {
    const x = a.charCodeAt(at);
    const y = b.charCodeAt(at);
    // Below the surrogates code units order as their UTF-8 bytes do: nearly always nothing need be encoded.
    if (x >= SURROGATES || y >= SURROGATES) return compareBytes(a, b);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

function compareBytes(a: string, b: string): number {
  const left = encodeName(a);
  const right = encodeName(b);
  const shared = Math.min(left.length, right.length);
  for (let at = 0; at < shared; at++) {
    const x = left[at] as number;
    const y = right[at] as number;
    if (x !== y) return rank(x) - rank(y);
  }
  return left.length - right.length;
}

function rank(byte: number): number {
  return byte === 0x2f ? -1 : byte;
}

/** Throws IMAGE_INVALID unless `path` is a clean relative path (see {@link Entry.path}). */
export function assertEntryPath(path: string): void {
  if (path === '') return;
  const bad =
    path.includes('\0') || path.split('/').some((part) => part === '' || part === '.' || part === '..');
  if (bad) {
    throw new OverdubError(
      'IMAGE_INVALID',
      `The image names the path ${JSON.stringify(path)}, which is absolute or leaves the image.`,
      'Do not import this image; rebuild it from a source you trust.',
    );
  }
}

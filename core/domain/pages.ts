/**
 * Pages of a manifest: a header line, then one JSON line an entry, in manifest order (docs/repository-format.md).
 * Equal entries make equal bytes. Pages come from machines too, so decoding is total: whatever the bytes, it
 * returns checked entries or throws IMAGE_INVALID.
 */

import { OverdubError } from '../errors.ts';
import { CHUNK_LIMITS } from './chunker.ts';
import { EMPTY_DIGEST, isDigest } from './content-ref.ts';
import type { ChunkRef, ContentRef, Entry, EntryType } from './manifest.ts';
import { assertEntryPath, comparePaths } from './path.ts';

/** Largest page, bytes: a page is a chunk. */
export const MAX_PAGE_BYTES: number = CHUNK_LIMITS.max;

export const PAGE_HEADER = '{"overdub":"page","v":1}';

const TYPE_CODES: Readonly<Record<EntryType, string>> = {
  directory: 'd',
  file: 'f',
  symlink: 'l',
  hardlink: 'h',
  character: 'c',
  block: 'b',
  fifo: 'p',
};
const TYPES = new Map<unknown, EntryType>(
  Object.entries(TYPE_CODES).map(([type, code]) => [code, type as EntryType]),
);

/** One page of entries, which must be in manifest order. IMAGE_INVALID when they are not, or are malformed. */
export function encodePage(entries: readonly Entry[]): Uint8Array {
  let previous: Entry | undefined;
  const lines = [PAGE_HEADER];
  for (const entry of entries) {
    assertFollows(previous, entry);
    lines.push(encodeEntry(entry));
    previous = entry;
  }
  return joinLines(lines);
}

/** Lines → the bytes of a page; IMAGE_INVALID when too long. */
export function joinLines(lines: readonly string[]): Uint8Array {
  const bytes = Buffer.from(`${lines.join('\n')}\n`, 'utf8');
  if (bytes.length > MAX_PAGE_BYTES) {
    throw new OverdubError(
      'IMAGE_INVALID',
      `A manifest page would be ${bytes.length} bytes long, more than ${MAX_PAGE_BYTES}.`,
      'One entry is too large: a file above about 100 GB, or extended attributes of megabytes. Exclude it.',
    );
  }
  return bytes;
}

/** The entries of one page, checked: paths, order, digests, lengths. IMAGE_INVALID on anything else. */
export function decodePage(bytes: Uint8Array): Entry[] {
  const lines = splitLines(bytes);
  if (lines[0] !== PAGE_HEADER) throw malformed('it does not begin with a page header of version 1');
  const entries: Entry[] = [];
  for (let at = 1; at < lines.length; at++) {
    const entry = decodeEntry(lines[at] as string);
    assertFollows(entries.at(-1), entry);
    entries.push(entry);
  }
  return entries;
}

/** Bytes → lines without their ends; IMAGE_INVALID when too long or not ended by a newline. */
export function splitLines(bytes: Uint8Array): string[] {
  if (bytes.length > MAX_PAGE_BYTES) throw malformed(`it is ${bytes.length} bytes long`);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  if (!text.endsWith('\n')) throw malformed('its last line is cut off');
  return text.slice(0, -1).split('\n');
}

/**
 * Throws IMAGE_INVALID unless `entry` may stand directly behind `previous`: strictly greater, and not below
 * something that is no directory (a link there would lead out of the image). Children follow their parent
 * directly in manifest order, so looking at one predecessor is enough.
 */
export function assertFollows(previous: Entry | undefined, entry: Entry): void {
  if (previous === undefined) return;
  if (comparePaths(previous.path, entry.path) >= 0) {
    throw malformed(`${quote(entry.path)} stands behind ${quote(previous.path)}, out of order or twice`);
  }
  const below = previous.path === '' || entry.path.startsWith(`${previous.path}/`);
  if (previous.type !== 'directory' && below) {
    throw malformed(`${quote(entry.path)} lies below ${quote(previous.path)}, which is no directory`);
  }
}

/** One line, without newline. Keys: see docs/repository-format.md. */
export function encodeEntry(entry: Entry): string {
  const line = {
    p: entry.path,
    t: TYPE_CODES[entry.type],
    m: entry.mode,
    u: entry.uid,
    g: entry.gid,
    n: entry.mtimeNs,
    ...(entry.content === undefined ? {} : { c: encodeContent(entry.content) }),
    ...(entry.sparse === true ? { s: 1 } : {}),
    ...(entry.target === undefined ? {} : { l: entry.target }),
    ...(entry.device === undefined ? {} : { d: [entry.device.major, entry.device.minor] }),
    ...(entry.xattrs === undefined ? {} : { x: sortedXattrs(entry.xattrs) }),
  };
  checkEntry(entry);
  return JSON.stringify(line);
}

function encodeContent(content: ContentRef): unknown[] {
  const only = content.chunks.length === 1 && content.chunks[0]?.digest === content.digest;
  if (content.chunks.length === 0 || only) return [content.bytes, content.digest];
  return [content.bytes, content.digest, content.chunks.map((chunk) => [chunk.digest, chunk.bytes])];
}

function sortedXattrs(xattrs: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(xattrs).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

function decodeEntry(text: string): Entry {
  const line = parseObject(text);
  const type = TYPES.get(line.t);
  if (type === undefined) throw malformed(`it holds the entry type ${quote(line.t)}`);
  const entry: Entry = {
    path: line.p as string,
    type,
    mode: line.m as number,
    uid: line.u as number,
    gid: line.g as number,
    mtimeNs: line.n as string,
    ...(line.c === undefined ? {} : { content: decodeContent(line.c) }),
    ...(line.s === undefined ? {} : { sparse: true }),
    ...(line.l === undefined ? {} : { target: line.l as string }),
    ...(line.d === undefined ? {} : { device: decodeDevice(line.d) }),
    ...(line.x === undefined ? {} : { xattrs: line.x as Record<string, string> }),
  };
  checkEntry(entry);
  return entry;
}

/** JSON text → object; IMAGE_INVALID on anything else. */
export function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {
    // Not JSON at all: reported below, like JSON of another kind.
  }
  throw malformed('a line of it is no JSON object');
}

function decodeContent(value: unknown): ContentRef {
  if (!Array.isArray(value)) throw malformed('a content is no list');
  const [bytes, digest, chunks] = value as unknown[];
  if (chunks === undefined) {
    const content = { bytes: bytes as number, digest: digest as string };
    return { ...content, chunks: bytes === 0 ? [] : [content] };
  }
  if (!Array.isArray(chunks) || !chunks.every(Array.isArray)) throw malformed('a chunk list is no list');
  return {
    digest: digest as string,
    bytes: bytes as number,
    chunks: (chunks as unknown[][]).map((chunk) => ({
      digest: chunk[0] as string,
      bytes: chunk[1] as number,
    })),
  };
}

function decodeDevice(value: unknown): { major: number; minor: number } {
  if (!Array.isArray(value) || value.length !== 2) throw malformed('a device is no pair');
  return { major: value[0] as number, minor: value[1] as number };
}

/** Throws IMAGE_INVALID unless every field is in its range and the fields go with the type. */
export function checkEntry(entry: Entry): void {
  if (typeof entry.path !== 'string') throw malformed('an entry has no path');
  assertEntryPath(entry.path);
  const fail = (what: string) => malformed(`${quote(entry.path)} has ${what}`);
  if (!isInteger(entry.mode, 0o7777)) throw fail('a mode out of range');
  if (!isInteger(entry.uid, 0xffffffff) || !isInteger(entry.gid, 0xffffffff)) throw fail('no proper owner');
  if (typeof entry.mtimeNs !== 'string' || !/^-?[0-9]{1,20}$/.test(entry.mtimeNs))
    throw fail('no proper time');
  if ((entry.content !== undefined) !== (entry.type === 'file')) throw fail('content and type at odds');
  if (entry.content !== undefined && !isContent(entry.content)) throw fail('a malformed content');
  if (entry.sparse !== undefined && entry.type !== 'file') throw fail('holes but no content');
  checkTarget(entry, fail);
  const device = entry.type === 'character' || entry.type === 'block';
  if ((entry.device !== undefined) !== device) throw fail('device numbers and type at odds');
  if (entry.device !== undefined && !isDevice(entry.device)) throw fail('device numbers out of range');
  if (entry.xattrs !== undefined && !areXattrs(entry.xattrs)) throw fail('malformed extended attributes');
}

function checkTarget(entry: Entry, fail: (what: string) => OverdubError): void {
  const link = entry.type === 'symlink' || entry.type === 'hardlink';
  if ((entry.target !== undefined) !== link) throw fail('a link target and type at odds');
  if (entry.target === undefined) return;
  if (typeof entry.target !== 'string' || entry.target === '' || entry.target.includes('\0')) {
    throw fail('a malformed link target');
  }
  if (entry.type === 'hardlink') assertEntryPath(entry.target);
}

function isContent(content: ContentRef): boolean {
  if (!isDigest(content.digest) || !isInteger(content.bytes, Number.MAX_SAFE_INTEGER)) return false;
  if (content.bytes === 0) return content.chunks.length === 0 && content.digest === EMPTY_DIGEST;
  if (content.chunks.length === 1 && content.chunks[0]?.digest !== content.digest) return false;
  return content.chunks.every(isChunk) && sumBytes(content.chunks) === content.bytes;
}

function isChunk(chunk: ChunkRef): boolean {
  return isDigest(chunk.digest) && isInteger(chunk.bytes, CHUNK_LIMITS.max) && chunk.bytes > 0;
}

function sumBytes(chunks: readonly ChunkRef[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.bytes, 0);
}

function isDevice(device: { readonly major: number; readonly minor: number }): boolean {
  return isInteger(device.major, 0xffffffff) && isInteger(device.minor, 0xffffffff);
}

function areXattrs(xattrs: unknown): boolean {
  if (typeof xattrs !== 'object' || xattrs === null || Array.isArray(xattrs)) return false;
  return Object.entries(xattrs).every(
    ([name, value]) => name !== '' && typeof value === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(value),
  );
}

/** Is this an integer from 0 to `max`? */
export function isInteger(value: unknown, max: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= max;
}

/** The error of everything a page can have wrong. */
export function malformed(what: string): OverdubError {
  return new OverdubError(
    'IMAGE_INVALID',
    `A manifest page is malformed: ${what}.`,
    'Take the image again; if it came from a machine, look at that machine first.',
  );
}

function quote(value: unknown): string {
  return JSON.stringify(value) ?? 'undefined';
}

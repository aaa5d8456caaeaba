/** Index pages: what a manifest's root is. They list pages by digest, on as many levels as it takes. */

import { isDigest } from './content-ref.ts';
import type { Digest } from './manifest.ts';
import { isInteger, joinLines, MAX_PAGE_BYTES, malformed, parseObject, splitLines } from './pages.ts';
import { assertEntryPath, comparePaths } from './path.ts';

/** More levels than any image can need (64 pages a level on average). */
export const MAX_INDEX_LEVEL = 12;

/** One page below an index page. */
export interface PageRef {
  readonly digest: Digest;
  /** Length of the page itself. */
  readonly pageBytes: number;
  /** Path of the first entry in or below it. */
  readonly first: string;
  /** Entries in or below it. */
  readonly entries: number;
  /** Sum of the regular files' lengths in or below it. */
  readonly bytes: number;
}

/** Level 1 lists pages of entries, level n lists index pages of level n − 1. */
export interface PageIndex {
  readonly level: number;
  readonly pages: readonly PageRef[];
}

/** Equal indexes make equal bytes. */
export function encodeIndex(index: PageIndex): Uint8Array {
  const lines = [`{"overdub":"index","v":1,"level":${index.level}}`];
  for (const page of index.pages) {
    lines.push(
      JSON.stringify({ h: page.digest, b: page.pageBytes, f: page.first, e: page.entries, s: page.bytes }),
    );
  }
  return joinLines(lines);
}

/** Total: a checked index, or IMAGE_INVALID. */
export function decodeIndex(bytes: Uint8Array): PageIndex {
  const [head, ...lines] = splitLines(bytes);
  const header = parseObject(head as string);
  const level = header.level;
  if (header.overdub !== 'index' || header.v !== 1 || !isInteger(level, MAX_INDEX_LEVEL) || level < 1) {
    throw malformed('it does not begin with an index header of version 1');
  }
  const pages = lines.map(decodeRef);
  for (let at = 1; at < pages.length; at++) {
    const order = comparePaths((pages[at - 1] as PageRef).first, (pages[at] as PageRef).first);
    if (order >= 0) throw malformed('its pages are out of order');
  }
  return { level, pages };
}

function decodeRef(text: string): PageRef {
  const line = parseObject(text);
  const { h: digest, b: pageBytes, f: first, e: entries, s: bytes } = line;
  const proper =
    isDigest(digest) &&
    isInteger(pageBytes, MAX_PAGE_BYTES) &&
    typeof first === 'string' &&
    isInteger(entries, Number.MAX_SAFE_INTEGER) &&
    isInteger(bytes, Number.MAX_SAFE_INTEGER);
  if (!proper) throw malformed('it lists a page wrongly');
  assertEntryPath(first);
  return { digest, pageBytes, first, entries, bytes };
}

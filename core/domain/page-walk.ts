/** Reading a stored manifest, page by page: memory stays flat however many entries it has. */

import type { Digest, Entry, ManifestRef } from './manifest.ts';
import { decodeIndex, type PageRef } from './page-index.ts';
import { assertFollows, decodePage, malformed } from './pages.ts';
import { comparePaths } from './path.ts';

/** Reads one page by digest; must verify it. */
export type ReadPage = (digest: Digest) => Promise<Uint8Array>;

export interface WalkOptions {
  /** Only pages that may hold entries at or below this path. */
  readonly under?: string;
  /** Called for each page (index pages too) before it is read; `false` leaves out it and all below. */
  readonly enter?: (digest: Digest) => boolean;
}

/** Pages of entries, raw, in order. IMAGE_INVALID when the tree of pages is malformed. */
export async function* walkPages(
  manifest: ManifestRef,
  read: ReadPage,
  options: WalkOptions = {},
): AsyncGenerator<Uint8Array> {
  if (options.enter?.(manifest.root) === false) return;
  const root = decodeIndex(await read(manifest.root));
  if (sum(root.pages, 'entries') !== manifest.entries || sum(root.pages, 'bytes') !== manifest.bytes) {
    throw malformed('its root lists other totals than the manifest');
  }
  yield* walkLevel(root.level, root.pages, read, options);
}

async function* walkLevel(
  level: number,
  pages: readonly PageRef[],
  read: ReadPage,
  options: WalkOptions,
): AsyncGenerator<Uint8Array> {
  for (const [at, page] of pages.entries()) {
    if (options.under !== undefined && !mayHold(page, pages[at + 1], options.under)) continue;
    if (options.enter?.(page.digest) === false) continue;
    const bytes = await read(page.digest);
    if (level === 1) {
      yield bytes;
      continue;
    }
    const below = decodeIndex(bytes);
    if (below.level !== level - 1 || sum(below.pages, 'entries') !== page.entries) {
      throw malformed('an index page lies on the wrong level');
    }
    yield* walkLevel(below.level, below.pages, read, options);
  }
}

/** Entries in manifest order, checked across page borders too. */
export async function* walkEntries(
  manifest: ManifestRef,
  read: ReadPage,
  options: { readonly under?: string } = {},
): AsyncGenerator<Entry> {
  let previous: Entry | undefined;
  let entries = 0;
  for await (const page of walkPages(manifest, read, options)) {
    for (const entry of decodePage(page)) {
      assertFollows(previous, entry);
      previous = entry;
      entries += 1;
      if (options.under === undefined || isUnder(entry.path, options.under)) yield entry;
    }
  }
  if (options.under === undefined && entries !== manifest.entries) {
    throw malformed(`it holds ${entries} entries where ${manifest.entries} were promised`);
  }
}

/** Is `path` equal to `under` or below it? Everything is under `''`. */
export function isUnder(path: string, under: string): boolean {
  return under === '' || path === under || path.startsWith(`${under}/`);
}

/** [page.first, next.first) meets the range of paths at or below `under`. */
function mayHold(page: PageRef, next: PageRef | undefined, under: string): boolean {
  const beginsAfter = comparePaths(page.first, under) > 0 && !isUnder(page.first, under);
  const endsBefore = next !== undefined && comparePaths(next.first, under) <= 0;
  return !beginsAfter && !endsBefore;
}

function sum(pages: readonly PageRef[], key: 'entries' | 'bytes'): number {
  return pages.reduce((total, page) => total + page[key], 0);
}

/** Cuts a sorted stream of entries into pages by content: a small change costs a page and its index pages. */

import { digestOf } from './content-ref.ts';
import type { Digest, Entry, ManifestRef } from './manifest.ts';
import { encodeIndex, MAX_INDEX_LEVEL, type PageRef } from './page-index.ts';
import { assertFollows, encodeEntry, joinLines, malformed, PAGE_HEADER } from './pages.ts';

/** Averages; a page ends where the hash of a path says so, or at these limits. */
const ENTRIES_A_PAGE = 64;
const MAX_PAGE_TEXT = 256 * 1024;
const PAGES_AN_INDEX = 64;
const MAX_PAGES_AN_INDEX = 1024;

/** A finished page: store `bytes` as the chunk `digest`. */
export interface BuiltPage {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
}

/** What {@link PageBuilder.finish} leaves. */
export interface FinishedManifest {
  /** Pages not given back before. */
  readonly pages: readonly BuiltPage[];
  /** The root page, for those who want it at hand; it is among the pages given back. */
  readonly root: Uint8Array;
  readonly manifest: ManifestRef;
}

/**
 * Feed it entries in manifest order, store every page it gives back. The pages depend on nothing but the
 * entries. Memory: one page a level.
 */
export class PageBuilder {
  #lines: string[] = [PAGE_HEADER];
  #text = 0;
  #first: Entry | undefined;
  #previous: Entry | undefined;
  #contentBytes = 0;
  readonly #levels: PageRef[][] = [[]];
  /** The newest index page: at the end, the root. */
  #index: BuiltPage | undefined;
  #finished = false;

  /** Takes the next entry; returns the pages that are now complete. IMAGE_INVALID when malformed or unsorted. */
  add(entry: Entry): BuiltPage[] {
    this.#assertOpen();
    assertFollows(this.#previous, entry);
    const line = encodeEntry(entry);
    this.#previous = entry;
    this.#first ??= entry;
    this.#lines.push(line);
    this.#text += line.length + 1;
    this.#contentBytes += entry.content?.bytes ?? 0;
    const full = this.#text >= MAX_PAGE_TEXT || hashPath(entry.path) % ENTRIES_A_PAGE === 0;
    return full ? this.#endPage() : [];
  }

  /** Ends the manifest. Call once. */
  finish(): FinishedManifest {
    this.#assertOpen();
    this.#finished = true;
    const pages = this.#first === undefined ? [] : this.#endPage();
    for (let level = 0; ; level++) {
      const refs = this.#levels[level] as PageRef[];
      const top = level === this.#levels.length - 1;
      if (refs.length === 0 && !top) continue;
      const root = refs[0];
      if (top && level > 0 && refs.length === 1 && root !== undefined && this.#index !== undefined) {
        const manifest = { root: root.digest, entries: root.entries, bytes: root.bytes };
        return { pages, root: this.#index.bytes, manifest };
      }
      pages.push(this.#endIndex(level));
    }
  }

  #endPage(): BuiltPage[] {
    const bytes = joinLines(this.#lines);
    const page = { digest: digestOf(bytes), bytes };
    const ref: PageRef = {
      digest: page.digest,
      pageBytes: bytes.length,
      first: (this.#first as Entry).path,
      entries: this.#lines.length - 1,
      bytes: this.#contentBytes,
    };
    this.#lines = [PAGE_HEADER];
    this.#text = 0;
    this.#first = undefined;
    this.#contentBytes = 0;
    (this.#levels[0] as PageRef[]).push(ref);
    return [page, ...this.#endFullIndexes()];
  }

  #endFullIndexes(): BuiltPage[] {
    const built: BuiltPage[] = [];
    for (let level = 0; level < this.#levels.length; level++) {
      const refs = this.#levels[level] as PageRef[];
      const last = refs.at(-1);
      if (last === undefined || refs.length < 2) break;
      const boundary = Number.parseInt(last.digest.slice(0, 8), 16) % PAGES_AN_INDEX === 0;
      if (!boundary && refs.length < MAX_PAGES_AN_INDEX) break;
      built.push(this.#endIndex(level));
    }
    return built;
  }

  /** Writes the index page over what waits at `level` and hands it one level up. */
  #endIndex(level: number): BuiltPage {
    if (level + 1 > MAX_INDEX_LEVEL) throw malformed('it has too many entries');
    const refs = this.#levels[level] as PageRef[];
    const bytes = encodeIndex({ level: level + 1, pages: refs });
    const page = { digest: digestOf(bytes), bytes };
    const above = this.#levels[level + 1] ?? [];
    above.push({
      digest: page.digest,
      pageBytes: bytes.length,
      first: refs[0]?.first ?? '',
      entries: refs.reduce((sum, ref) => sum + ref.entries, 0),
      bytes: refs.reduce((sum, ref) => sum + ref.bytes, 0),
    });
    this.#levels[level] = [];
    this.#levels[level + 1] = above;
    this.#index = page;
    return page;
  }

  #assertOpen(): void {
    if (this.#finished) throw new TypeError('this PageBuilder was finished already');
  }
}

/** 32-bit FNV-1a over UTF-16 code units, finalised as murmur3 does: decides where pages end. */
function hashPath(path: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < path.length; at++) hash = Math.imul(hash ^ path.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

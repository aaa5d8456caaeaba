/** What an image consists of, by digest: the ground on which reads are allowed and offers are answered. */

import type { Repository } from '../contracts/repository.ts';
import type { DigestSet } from '../domain/digest-set.ts';
import { DigestTable } from '../domain/digest-table.ts';
import type { ContentRef, Digest, ManifestRef } from '../domain/manifest.ts';
import { chunksOfPage } from '../domain/page-chunks.ts';
import { decodeIndex, type PageIndex } from '../domain/page-index.ts';
import { walkPages } from '../domain/page-walk.ts';
import { decodePage } from '../domain/pages.ts';
import { comparePaths } from '../domain/path.ts';
import { WaitingGarbage } from '../waiting-garbage.ts';

/** Memory that indexes of images may hold together, bytes; those of one server twice what one of its images takes, if that is more. */
const CACHE_BYTES = 64 * 1024 * 1024;
/** Images of one shelf: a bit each. */
const IMAGES = 32;

export interface ImageIndex {
  readonly pages: Pick<DigestSet, 'has'>;
  readonly chunks: Pick<DigestSet, 'has'>;
}

/** Builds indexes on demand, one at a time an image, and keeps those of the servers that were looked at last. */
export class ImageIndexes {
  readonly #repository: Repository;
  readonly #cacheBytes: number;
  readonly #shelves = new Map<string, Shelf>();

  constructor(repository: Repository, cacheBytes: number = CACHE_BYTES) {
    this.#repository = repository;
    this.#cacheBytes = cacheBytes;
  }

  /** `server`: whose image it is, or whose master: what its images have in common is kept once. */
  async of(image: ManifestRef, server = ''): Promise<ImageIndex> {
    const known = this.#shelves.get(server);
    const shelf = known?.takes(image) === true ? known : new Shelf(this.#repository, this.#cacheBytes);
    this.#shelves.delete(server);
    this.#shelves.set(server, shelf);
    const isThere = shelf.has(image);
    const index = await shelf.of(image);
    if (!isThere) this.#evict(shelf);
    return index;
  }

  #evict(last: Shelf): void {
    let total = 0;
    for (const { bytes } of this.#shelves.values()) total += bytes;
    for (const [server, shelf] of this.#shelves) {
      if (total <= this.#cacheBytes) break;
      if (shelf === last) continue;
      total -= shelf.bytes;
      this.#shelves.delete(server);
    }
  }
}

/** Indexes of images that are much alike: each digest once, with a bit for each image that it belongs to. */
class Shelf {
  readonly #repository: Repository;
  readonly #cacheBytes: number;
  readonly #pages = new DigestTable((slots) => new Uint32Array(slots));
  readonly #chunks = new DigestTable((slots) => new Uint32Array(slots));
  readonly #built = new Map<Digest, Promise<ImageIndex>>();
  #images = 0;
  /** What the first image took, bytes. */
  #firstBytes = 0;

  constructor(repository: Repository, cacheBytes: number) {
    this.#repository = repository;
    this.#cacheBytes = cacheBytes;
  }

  /** Memory held, bytes. */
  get bytes(): number {
    return this.#pages.bytes + this.#chunks.bytes;
  }

  has({ root }: ManifestRef): boolean {
    return this.#built.has(root);
  }

  /** Is the image there, or room for it? */
  takes(image: ManifestRef): boolean {
    const room = Math.max(this.#cacheBytes, 2 * this.#firstBytes);
    return this.has(image) || (this.#images < IMAGES && this.bytes < room);
  }

  of(image: ManifestRef): Promise<ImageIndex> {
    const known = this.#built.get(image.root);
    if (known !== undefined) return known;
    const index = this.#build(image, 2 ** this.#images++);
    this.#built.set(image.root, index);
    index.catch(() => this.#built.delete(image.root));
    return index;
  }

  async #build(image: ManifestRef, bit: number): Promise<ImageIndex> {
    const enter = (digest: Digest) => {
      this.#pages.mark(digest, bit);
      return true;
    };
    const read = (digest: Digest) => this.#repository.readChunk(digest);
    const garbage = new WaitingGarbage();
    for await (const page of walkPages(image, read, { enter })) {
      for (const digest of chunksOfPage(page)) this.#chunks.mark(digest, bit);
      garbage.check();
    }
    if (this.#firstBytes === 0) this.#firstBytes = this.bytes;
    const within = (table: DigestTable) => ({
      has: (digest: Digest) => (table.get(digest) & bit) !== 0,
    });
    return { pages: within(this.#pages), chunks: within(this.#chunks) };
  }
}

/** Digests of all pages of an image; only those are read that list others. */
export async function pagesOf(
  repository: Pick<Repository, 'readChunk'>,
  image: ManifestRef,
): Promise<Digest[]> {
  const all: Digest[] = [image.root];
  const visit = async (digest: Digest): Promise<void> => {
    const { level, pages } = decodeIndex(await repository.readChunk(digest));
    for (const page of pages) {
      all.push(page.digest);
      if (level > 1) await visit(page.digest);
    }
  };
  await visit(image.root);
  return all;
}

/** The contents of some paths of an image, reading only the pages that may hold them. */
export async function findContents(
  repository: Repository,
  image: ManifestRef,
  paths: readonly string[],
): Promise<Map<string, ContentRef>> {
  const found = new Map<string, ContentRef>();
  const sorted = [...paths].sort(comparePaths);
  const visit = async (index: PageIndex, wanted: readonly string[]): Promise<void> => {
    for (const [at, page] of index.pages.entries()) {
      const next = index.pages[at + 1];
      const inside = wanted.filter(
        (path) =>
          comparePaths(page.first, path) <= 0 && (next === undefined || comparePaths(path, next.first) < 0),
      );
      if (inside.length === 0) continue;
      const bytes = await repository.readChunk(page.digest);
      if (index.level > 1) await visit(decodeIndex(bytes), inside);
      else collect(bytes, new Set(inside), found);
    }
  };
  if (sorted.length > 0) await visit(decodeIndex(await repository.readChunk(image.root)), sorted);
  return found;
}

function collect(page: Uint8Array, wanted: ReadonlySet<string>, found: Map<string, ContentRef>): void {
  for (const entry of decodePage(page)) {
    if (entry.content !== undefined && wanted.has(entry.path)) found.set(entry.path, entry.content);
  }
}

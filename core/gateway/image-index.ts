/** What an image consists of, by digest: the ground on which reads are allowed and offers are answered. */

import type { Repository } from '../contracts/repository.ts';
import { DigestSet } from '../domain/digest-set.ts';
import type { ContentRef, Digest, ManifestRef } from '../domain/manifest.ts';
import { decodeIndex, type PageIndex } from '../domain/page-index.ts';
import { walkPages } from '../domain/page-walk.ts';
import { decodePage } from '../domain/pages.ts';
import { comparePaths } from '../domain/path.ts';

/** Memory that indexes of images may hold together, bytes. */
const CACHE_BYTES = 64 * 1024 * 1024;

export interface ImageIndex {
  readonly pages: DigestSet;
  readonly chunks: DigestSet;
}

/** Builds indexes on demand, one at a time an image, and keeps the last used ones. */
export class ImageIndexes {
  readonly #repository: Repository;
  readonly #built = new Map<Digest, Promise<ImageIndex>>();
  readonly #sizes = new Map<Digest, number>();

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  of(image: ManifestRef): Promise<ImageIndex> {
    const known = this.#built.get(image.root);
    const index = known ?? this.#build(image);
    this.#built.delete(image.root);
    this.#built.set(image.root, index);
    return index;
  }

  #build(image: ManifestRef): Promise<ImageIndex> {
    const index = indexImage(this.#repository, image);
    index.then(
      (done) => this.#keep(image.root, done.pages.bytes + done.chunks.bytes),
      () => this.#built.delete(image.root),
    );
    return index;
  }

  #keep(root: Digest, bytes: number): void {
    this.#sizes.set(root, bytes);
    let total = [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
    for (const oldest of this.#built.keys()) {
      if (total <= CACHE_BYTES || oldest === root) break;
      total -= this.#sizes.get(oldest) ?? 0;
      this.#sizes.delete(oldest);
      this.#built.delete(oldest);
    }
  }
}

async function indexImage(repository: Repository, image: ManifestRef): Promise<ImageIndex> {
  const pages = new DigestSet();
  const chunks = new DigestSet();
  const enter = (digest: Digest) => {
    pages.add(digest);
    return true;
  };
  const read = (digest: Digest) => repository.readChunk(digest);
  for await (const page of walkPages(image, read, { enter })) {
    for (const entry of decodePage(page)) {
      for (const chunk of entry.content?.chunks ?? []) chunks.add(chunk.digest);
    }
  }
  return { pages, chunks };
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

/** What damage means: which files of which images it touches. */

import type { DamagedPlace, DamageReport } from '../../contracts/repository.ts';
import { DigestSet } from '../../domain/digest-set.ts';
import type { Digest } from '../../domain/manifest.ts';
import type { Master } from '../../domain/master.ts';
import { decodeIndex, type PageIndex } from '../../domain/page-index.ts';
import { decodePage } from '../../domain/pages.ts';
import type { Snapshot } from '../../domain/snapshot.ts';
import { OverdubError } from '../../errors.ts';
import type { ChunkIndex } from '../chunk-index/chunk-index.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import type { RecordStore } from '../store/records.ts';
import { type Root, rootOfMaster, rootOfSnapshot } from '../store/roots.ts';

/** Places that are listed; all are counted. */
const MAX_PLACES = 1000;
const DAMAGE_CODES: readonly OverdubError['code'][] = ['REPOSITORY_DAMAGED', 'NOT_FOUND', 'IMAGE_INVALID'];

export interface DamageWalkParts {
  readonly index: ChunkIndex;
  readonly reader: ChunkReader;
  readonly records: RecordStore;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Walks every committed image and notes what of it cannot be read, as far as that is known. A page in and below which
 * all is well is looked at once, however many images have it.
 */
export class DamageWalk {
  /** Chunks and pages that images need and that are missing or damaged. */
  readonly damaged = new DigestSet();
  readonly #parts: DamageWalkParts;
  readonly #sound = new DigestSet();
  readonly #places: DamagedPlace[] = [];
  readonly #records: { name: string; why: string }[] = [];
  readonly #images = new Set<string>();
  #placesTotal = 0;
  #walked = 0;

  constructor(parts: DamageWalkParts) {
    this.#parts = parts;
  }

  /** Call once. `onImage` hears of each image before it is walked. */
  async run(onImage?: (label: string) => void): Promise<DamageReport & { readonly images: number }> {
    for (const kind of ['masters', 'snapshots'] as const) {
      for (const name of await this.#parts.records.names([kind])) {
        const root = await this.#root(kind, name);
        if (root === undefined) continue;
        onImage?.(root.label);
        this.#walked += 1;
        await this.#walk(root);
      }
    }
    return {
      images: this.#walked,
      damagedChunks: this.damaged.size,
      damagedImages: [...this.#images],
      damagedRecords: this.#records,
      places: this.#places,
      placesTotal: this.#placesTotal,
    };
  }

  async #root(kind: 'masters' | 'snapshots', name: string): Promise<Root | undefined> {
    try {
      const value = await this.#parts.records.read(name);
      if (value === undefined) return undefined;
      return kind === 'masters' ? rootOfMaster(value as Master) : rootOfSnapshot(value as Snapshot);
    } catch (error) {
      this.#records.push({ name, why: whyOf(error) });
      return undefined;
    }
  }

  async #walk(root: Root): Promise<void> {
    const index = await this.#page(root, root.manifest.root, '', decodeIndex);
    if (index !== undefined) await this.#walkIndex(root, root.manifest.root, index);
  }

  /** True when all is well in and below it. */
  async #walkIndex(root: Root, digest: Digest, index: PageIndex): Promise<boolean> {
    let sound = true;
    for (const page of index.pages) {
      if (this.#sound.has(page.digest)) continue;
      const below =
        index.level > 1
          ? await this.#walkBelow(root, page.digest, page.first)
          : await this.#walkEntries(root, page.digest, page.first);
      sound &&= below;
    }
    if (sound) this.#sound.add(digest);
    return sound;
  }

  async #walkBelow(root: Root, digest: Digest, first: string): Promise<boolean> {
    const index = await this.#page(root, digest, first, decodeIndex);
    return index === undefined ? false : this.#walkIndex(root, digest, index);
  }

  async #walkEntries(root: Root, digest: Digest, first: string): Promise<boolean> {
    const entries = await this.#page(root, digest, first, decodePage);
    if (entries === undefined) return false;
    let sound = true;
    for (const { path, content } of entries) {
      const bad = content?.chunks.filter((chunk) => !this.#parts.index.isSound(chunk.digest)) ?? [];
      if (bad.length === 0) continue;
      for (const chunk of bad) this.damaged.add(chunk.digest);
      this.#note(root, path, 'file');
      sound = false;
    }
    if (sound) this.#sound.add(digest);
    return sound;
  }

  async #page<T>(
    root: Root,
    digest: Digest,
    first: string,
    decode: (bytes: Uint8Array) => T,
  ): Promise<T | undefined> {
    this.#parts.signal?.throwIfAborted();
    try {
      const page = decode(await this.#parts.reader.read(digest));
      // One that was kept in memory is read all the same, but is not stored soundly.
      if (this.#parts.index.isSound(digest)) return page;
    } catch (error) {
      if (!(error instanceof OverdubError && DAMAGE_CODES.includes(error.code))) throw error;
    }
    this.damaged.add(digest);
    this.#note(root, first, 'list');
    return undefined;
  }

  #note(root: Root, path: string, what: DamagedPlace['what']): void {
    this.#images.add(root.label);
    this.#placesTotal += 1;
    if (this.#places.length >= MAX_PLACES) return;
    const { snapshot, master, label } = root;
    this.#places.push({
      image: label,
      ...(snapshot === undefined ? {} : { server: snapshot.server, snapshot: snapshot.id }),
      ...(master === undefined ? {} : { master: label }),
      path,
      what,
    });
  }
}

export function whyOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

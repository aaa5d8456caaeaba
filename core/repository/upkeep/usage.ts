/** What the repository holds, and for whom: distinct chunks, each counted once with everybody who needs it. */

import type { OwnerUsage, RepositoryUsage } from '../../contracts/repository.ts';
import { DigestMap } from '../../domain/digest-map.ts';
import { DigestSet } from '../../domain/digest-set.ts';
import type { Digest, ManifestRef } from '../../domain/manifest.ts';
import { chunksOfPage } from '../../domain/page-chunks.ts';
import { decodeIndex } from '../../domain/page-index.ts';
import { walkPages } from '../../domain/page-walk.ts';
import { OverdubError } from '../../errors.ts';
import type { ChunkIndex } from '../chunk-index/chunk-index.ts';
import { MAX_CHAIN, worthCopying } from '../chunk-index/live-set.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import type { RecordStore } from '../store/records.ts';
import { rootsOf } from '../store/roots.ts';
import { OwnerSets } from './owner-sets.ts';

export interface UsageParts {
  readonly index: ChunkIndex;
  readonly reader: ChunkReader;
  readonly records: RecordStore;
}

interface Owner {
  readonly kind: 'server' | 'master';
  readonly name: string;
  readonly images: ManifestRef[];
}

interface Sum {
  chunks: number;
  logicalBytes: number;
  storedBytes: number;
}

const UNREADABLE: readonly OverdubError['code'][] = ['REPOSITORY_DAMAGED', 'NOT_FOUND', 'IMAGE_INVALID'];

/** Reads every manifest page once. Memory: about 50 bytes a chunk in use. */
export async function usageOf(parts: UsageParts): Promise<RepositoryUsage> {
  const count = new UsageCount(parts);
  const owners = await ownersOf(parts.records);
  for (const [at, owner] of owners.entries()) {
    for (const image of owner.images) await count.claimPages(image, at);
  }
  for (const { images } of owners) for (const image of images) await count.claimContents(image);
  return count.result(owners);
}

/** Servers by their snapshots, masters by their versions. */
async function ownersOf(records: RecordStore): Promise<Owner[]> {
  const owners = new Map<string, Owner>();
  for await (const { manifest, snapshot, master } of rootsOf(records)) {
    const kind = snapshot === undefined ? 'master' : 'server';
    const name = snapshot?.server ?? master?.name ?? '';
    const owner = owners.get(`${kind} ${name}`) ?? { kind, name, images: [] };
    owners.set(`${kind} ${name}`, owner);
    owner.images.push(manifest);
  }
  return [...owners.values()];
}

class UsageCount {
  readonly #parts: UsageParts;
  readonly #sets = new OwnerSets();
  /** Pages of entries, and what they or deltas name: digest → set of owners. */
  readonly #pages = new DigestMap();
  readonly #chunks = new DigestMap();
  readonly #read = new DigestSet();
  readonly #sums = new Map<number, Sum>();
  readonly #forms = new Map<string, Sum>();
  readonly #liveByPack = new Map<number, number>();
  #unreadable = 0;

  constructor(parts: UsageParts) {
    this.#parts = parts;
  }

  /** Notes whose the pages are, by the index pages alone: what images share is then looked at once. */
  async claimPages(image: ManifestRef, owner: number): Promise<void> {
    const set = this.#sets.of(owner);
    const visit = async (digest: Digest): Promise<void> => {
      if (!this.#claim(this.#chunks, digest, set)) return;
      const { level, pages } = decodeIndex(await this.#parts.reader.read(digest));
      for (const page of pages) {
        if (level > 1) await visit(page.digest);
        else if (this.#claim(this.#chunks, page.digest, set)) {
          this.#pages.set(page.digest, this.#chunks.get(page.digest) ?? OwnerSets.NOBODY);
        }
      }
    };
    await this.#tolerating(() => visit(image.root));
  }

  /** Notes whose the contents are: those of a page are its owners'. */
  async claimContents(image: ManifestRef): Promise<void> {
    const enter = (digest: Digest) => {
      if (this.#read.has(digest)) return false;
      this.#read.add(digest);
      return true;
    };
    await this.#tolerating(async () => {
      let set = OwnerSets.NOBODY;
      const entered = (digest: Digest) => {
        set = this.#pages.get(digest) ?? OwnerSets.NOBODY;
        return enter(digest);
      };
      const read = (digest: Digest) => this.#parts.reader.read(digest);
      for await (const page of walkPages(image, read, { enter: entered })) {
        for (const digest of chunksOfPage(page)) this.#claim(this.#chunks, digest, set);
      }
    });
  }

  result(owners: readonly Owner[]): RepositoryUsage {
    const all = [...this.#sums.values()];
    const total = (key: keyof Sum) => Math.round(all.reduce((sum, one) => sum + one[key], 0));
    const packs = this.#parts.index.packList();
    const lives = packs.map(({ id, bytes }) => ({ bytes, liveBytes: this.#liveByPack.get(id) ?? 0 }));
    const dead = lives.filter(({ liveBytes }) => liveBytes === 0).reduce((sum, { bytes }) => sum + bytes, 0);
    const sparse = lives.filter((pack) => pack.liveBytes > 0 && worthCopying(pack));
    const usages = owners.map((owner, at) => this.#usageOf(owner, at));
    const of = (kind: Owner['kind']) => usages.filter((_, at) => owners[at]?.kind === kind);
    return {
      snapshots: of('server').reduce((sum, one) => sum + one.images, 0),
      masters: of('master').reduce((sum, one) => sum + one.images, 0),
      logicalBytes: usages.reduce((sum, one) => sum + one.logicalBytes, 0),
      uniqueBytes: total('logicalBytes'),
      storedBytes: total('storedBytes'),
      chunks: total('chunks'),
      packs: packs.length,
      packBytes: packs.reduce((sum, { bytes }) => sum + bytes, 0),
      deadBytes: dead,
      reclaimableBytes: Math.round(dead + sparse.reduce((sum, one) => sum + one.bytes - one.liveBytes, 0)),
      byForm: Object.fromEntries([...this.#forms].sort().map(([form, sum]) => [form, rounded(sum)])),
      byServer: of('server'),
      byMaster: of('master'),
      unreadableImages: this.#unreadable,
    };
  }

  #usageOf({ name, images }: Owner, at: number): OwnerUsage {
    let [uniqueBytes, ownBytes, shareBytes] = [0, 0, 0];
    for (const [set, sum] of this.#sums) {
      const owners = this.#sets.owners(set);
      if (!owners.includes(at)) continue;
      shareBytes += sum.storedBytes / owners.length;
      if (owners.length > 1) continue;
      uniqueBytes += sum.logicalBytes;
      ownBytes += sum.storedBytes;
    }
    return {
      name,
      images: images.length,
      logicalBytes: images.reduce((sum, { bytes }) => sum + bytes, 0),
      uniqueBytes,
      ownBytes: Math.round(ownBytes),
      shareBytes: Math.round(shareBytes),
    };
  }

  /** These owners need the chunk, and what its delta is made from. False when they all did already. */
  #claim(map: DigestMap, digest: Digest, set: number, chain = 0): boolean {
    const before = map.get(digest) ?? OwnerSets.NOBODY;
    const after = this.#sets.union(before, set);
    if (after === before || chain > MAX_CHAIN) return false;
    const place = this.#parts.index.placeOf(digest);
    if (place === undefined) return false;
    map.set(digest, after);
    const one = { chunks: 1, logicalBytes: place.bytes, storedBytes: place.storedBytes };
    if (before === OwnerSets.NOBODY) {
      add(this.#forms, place.form, one, 1);
      this.#liveByPack.set(place.pack, (this.#liveByPack.get(place.pack) ?? 0) + place.storedBytes);
    } else add(this.#sums, before, one, -1);
    add(this.#sums, after, one, 1);
    for (const base of place.bases) this.#claim(map, base, set, chain + 1);
    return true;
  }

  /** An image that is damaged, or was removed meanwhile, is counted as far as it can be read. */
  async #tolerating(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof OverdubError && UNREADABLE.includes(error.code))) throw error;
      this.#unreadable += 1;
    }
  }
}

function add<K>(sums: Map<K, Sum>, key: K, one: Sum, sign: 1 | -1): void {
  const sum = sums.get(key) ?? { chunks: 0, logicalBytes: 0, storedBytes: 0 };
  sums.set(key, sum);
  sum.chunks += sign * one.chunks;
  sum.logicalBytes += sign * one.logicalBytes;
  sum.storedBytes += sign * one.storedBytes;
}

function rounded({ chunks, logicalBytes, storedBytes }: Sum): Sum {
  return { chunks, logicalBytes, storedBytes: Math.round(storedBytes) };
}

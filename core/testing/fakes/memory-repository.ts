import { createHash, randomUUID } from 'node:crypto';
import type { RandomReader } from '../../contracts/delta-codec.ts';
import type {
  CollectionOptions,
  IngestSession,
  MendReport,
  OptimiseResult,
  Repository,
  RepositoryUsage,
  VerifyOptions,
  VerifyReport,
} from '../../contracts/repository.ts';
import type { ContentRef, Digest, Entry, ManifestRef } from '../../domain/manifest.ts';
import type { Master } from '../../domain/master.ts';
import { comparePaths } from '../../domain/path.ts';
import type { Snapshot } from '../../domain/snapshot.ts';
import { OverdubError } from '../../errors.ts';
import { collect, collectBytes } from '../collect.ts';

/** A repository in memory: one chunk a content, manifests as lists. For tests of what is built on one. */
export class MemoryRepository implements Repository {
  readonly #chunks = new Map<Digest, Uint8Array>();
  readonly #manifests = new Map<Digest, readonly Entry[]>();
  readonly #snapshots = new Map<string, Snapshot>();
  readonly #masters = new Map<string, Master>();
  readonly #records = new Map<string, { kind: string; id: string; value: unknown }>();
  /** Sessions opened and not closed. */
  openSessions = 0;

  /** Stores an image of these entries at once. */
  image(entries: readonly Entry[]): ManifestRef {
    const sorted = entries.toSorted((a, b) => comparePaths(a.path, b.path));
    const root = digestOf(Buffer.from(JSON.stringify(sorted)));
    this.#manifests.set(root, sorted);
    const bytes = sorted.reduce((sum, entry) => sum + (entry.content?.bytes ?? 0), 0);
    return { root, entries: sorted.length, bytes };
  }

  /** Stores bytes and says how an entry refers to them. */
  content(bytes: Uint8Array | string): ContentRef {
    const data = Buffer.from(bytes);
    const digest = digestOf(data);
    this.#chunks.set(digest, data);
    return { digest, bytes: data.length, chunks: data.length === 0 ? [] : [{ digest, bytes: data.length }] };
  }

  async ingest(): Promise<IngestSession> {
    this.openSessions += 1;
    const missing = async (digests: readonly Digest[]) => digests.map((digest) => !this.#chunks.has(digest));
    return {
      id: randomUUID(),
      storedBytes: 0,
      missing,
      addChunk: async (digest, bytes) => {
        this.#chunks.set(digest, bytes);
      },
      addBytes: async (bytes, admit) => {
        const digest = digestOf(bytes);
        if (admit(digest)) this.#chunks.set(digest, bytes);
        return digest;
      },
      addFrame: async () => {
        throw new Error('the memory repository takes no frames');
      },
      addStream: async (source) => this.content(await collectBytes(source)),
      addContent: async (_content, source) => {
        this.content(await collectBytes(source));
      },
      openContent: (content) => this.openContent(content),
      writeManifest: async (entries) => this.image(await collect(entries)),
      flush: async () => undefined,
      close: async () => {
        this.openSessions -= 1;
      },
    };
  }

  async optimise(): Promise<OptimiseResult> {
    return { packs: 0, bytesBefore: 0, bytesAfter: 0 };
  }

  async readChunk(digest: Digest): Promise<Uint8Array> {
    const chunk = this.#chunks.get(digest);
    if (chunk === undefined) throw new OverdubError('NOT_FOUND', `There is no chunk ${digest}.`, '');
    return new Uint8Array(chunk);
  }

  readUncompared(digest: Digest): Promise<Uint8Array> {
    return this.readChunk(digest);
  }

  /** Nothing is in frames here. */
  async frameOf(): Promise<undefined> {
    return undefined;
  }

  async hasChunks(digests: readonly Digest[]): Promise<boolean[]> {
    return digests.map((digest) => this.#chunks.has(digest));
  }

  async *readManifest(
    manifest: ManifestRef,
    options: { readonly under?: string } = {},
  ): AsyncGenerator<Entry> {
    const entries = this.#manifests.get(manifest.root);
    if (entries === undefined) throw new OverdubError('NOT_FOUND', `There is no image ${manifest.root}.`, '');
    const { under } = options;
    for (const entry of entries) {
      if (under === undefined || entry.path === under || entry.path.startsWith(`${under}/`)) yield entry;
    }
  }

  // biome-ignore lint/correctness/useYield: this repository has no pages to give.
  async *readManifestPages(): AsyncGenerator<Uint8Array> {
    throw new Error('the memory repository has no manifest pages');
  }

  async *readContent(content: ContentRef): AsyncGenerator<Uint8Array> {
    for (const { digest } of content.chunks) yield await this.readChunk(digest);
  }

  openContent(content: ContentRef): RandomReader {
    return {
      bytes: content.bytes,
      read: async (offset, length) =>
        (await this.readChunk(content.digest)).subarray(offset, offset + length),
    };
  }

  async commitSnapshot(snapshot: Snapshot): Promise<void> {
    this.#snapshots.set(`${snapshot.server}/${snapshot.id}`, structuredClone(snapshot));
  }

  async listSnapshots(server: string): Promise<Snapshot[]> {
    return [...this.#snapshots.values()]
      .filter((snapshot) => snapshot.server === server)
      .toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  async getSnapshot(server: string, id: string): Promise<Snapshot | undefined> {
    return this.#snapshots.get(`${server}/${id}`);
  }

  async removeSnapshot(server: string, id: string): Promise<void> {
    this.#snapshots.delete(`${server}/${id}`);
  }

  async commitMaster(master: Master): Promise<void> {
    this.#masters.set(`${master.name}@${master.version}`, structuredClone(master));
  }

  async listMasters(): Promise<Master[]> {
    return [...this.#masters.values()];
  }

  async removeMaster(name: string, version: number): Promise<void> {
    this.#masters.delete(`${name}@${version}`);
  }

  async putRecord(kind: string, id: string, value: unknown): Promise<void> {
    this.#records.set(`${kind}/${id}`, { kind, id, value: structuredClone(value) });
  }

  async getRecord(kind: string, id: string): Promise<unknown> {
    return this.#records.get(`${kind}/${id}`)?.value;
  }

  async listRecords(kind: string): Promise<{ id: string; value: unknown }[]> {
    return [...this.#records.values()]
      .filter((record) => record.kind === kind)
      .map(({ id, value }) => ({ id, value }));
  }

  async removeRecord(kind: string, id: string): Promise<void> {
    this.#records.delete(`${kind}/${id}`);
  }

  async stats() {
    const bytes = [...this.#chunks.values()].reduce((sum, chunk) => sum + chunk.length, 0);
    return { chunks: this.#chunks.size, logicalBytes: bytes, storedBytes: bytes, packs: 0, byForm: {} };
  }

  /** Nothing is ever garbage here. */
  async collect({ dryRun = false }: CollectionOptions = {}) {
    const { chunks: liveChunks, storedBytes: liveBytes } = await this.stats();
    const nothing = {
      removedPacks: 0,
      freedBytes: 0,
      copiedPacks: 0,
      copiedBytes: 0,
      packs: 0,
      packBytes: 0,
    };
    return { dryRun, liveChunks, liveBytes, ...nothing };
  }

  /** Nothing is ever damaged here. */
  async verify(_options?: VerifyOptions): Promise<VerifyReport> {
    const none = { damagedChunks: 0, damagedImages: [], damagedRecords: [], damagedPacks: [], places: [] };
    const read = { packs: 0, readPacks: 0, readChunks: 0, readBytes: 0, images: 0 };
    return { sound: true, ...read, ...none, damagedPacksTotal: 0, placesTotal: 0 };
  }

  async usage(): Promise<RepositoryUsage> {
    const { chunks, logicalBytes: uniqueBytes, storedBytes } = await this.stats();
    const nothing = { packs: 0, packBytes: 0, deadBytes: 0, reclaimableBytes: 0, unreadableImages: 0 };
    const [snapshots, masters] = [[...this.#snapshots.values()], [...this.#masters.values()]];
    const logicalBytes = [...snapshots, ...masters].reduce((sum, { manifest }) => sum + manifest.bytes, 0);
    const counts = { snapshots: snapshots.length, masters: masters.length, chunks };
    return {
      ...counts,
      logicalBytes,
      uniqueBytes,
      storedBytes,
      ...nothing,
      byForm: {},
      byServer: [],
      byMaster: [],
    };
  }

  async mend(): Promise<MendReport> {
    const { damagedChunks, damagedImages, damagedRecords, places, placesTotal } = await this.verify();
    return { salvagedPacks: 0, damagedChunks, damagedImages, damagedRecords, places, placesTotal };
  }

  async close(): Promise<void> {}
}

function digestOf(bytes: Uint8Array): Digest {
  return createHash('sha256').update(bytes).digest('hex');
}

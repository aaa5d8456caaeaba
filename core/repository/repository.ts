import type { RandomReader } from '../contracts/delta-codec.ts';
import type { Log } from '../contracts/log.ts';
import type {
  CollectionOptions,
  CollectionReport,
  IngestSession,
  MendReport,
  OptimiseOptions,
  OptimiseResult,
  ReadManifestOptions,
  Repository,
  RepositoryStats,
  RepositoryUsage,
  StoredFrame,
  UpkeepOptions,
  VerifyOptions,
  VerifyReport,
} from '../contracts/repository.ts';
import type { ContentRef, Digest, Entry, ManifestRef } from '../domain/manifest.ts';
import type { Master } from '../domain/master.ts';
import { walkEntries, walkPages } from '../domain/page-walk.ts';
import type { Snapshot } from '../domain/snapshot.ts';
import { OverdubError } from '../errors.ts';
import type { ChunkIndex } from './chunk-index/chunk-index.ts';
import { assertStored } from './ingest/commit-check.ts';
import { CommitGate } from './ingest/commit-gate.ts';
import { Session, type SessionParts } from './ingest/ingest-session.ts';
import type { ChunkReader } from './reading/chunk-reader.ts';
import { openContent, readContent } from './reading/content-reader.ts';
import { StoredFrames } from './reading/stored-frames.ts';
import { damaged } from './store/damage.ts';
import type { PortableStore } from './store/portable-store.ts';
import type { RecordStore } from './store/records.ts';
import { type Root, rootOfMaster, rootOfSnapshot } from './store/roots.ts';
import { Collector } from './upkeep/collector.ts';
import { mend } from './upkeep/mender.ts';
import { optimisePacks } from './upkeep/optimise.ts';
import { usageOf } from './upkeep/usage.ts';
import { Verifier } from './upkeep/verifier.ts';

/** What all sessions may hold in memory together, bytes. */
const SESSION_MEMORY_BYTES = 64 * 1024 * 1024;

export interface RepositoryParts
  extends Pick<SessionParts, 'store' | 'index' | 'reader' | 'search' | 'similar' | 'stateDir'> {
  readonly store: PortableStore;
  readonly index: ChunkIndex;
  readonly reader: ChunkReader;
  readonly records: RecordStore;
  readonly log: Log;
}

/** The repository over any blob store; see the contract for what each method promises. */
export class BlobRepository implements Repository {
  readonly #parts: RepositoryParts;
  readonly #frames: StoredFrames;
  readonly #sessions = new Set<Session>();
  readonly #gate = new CommitGate();
  readonly #closing = new AbortController();
  #collector: Collector | undefined;
  #counting: Promise<RepositoryUsage> | undefined;
  /** Ends with the upkeep that is under way. */
  #upkept: Promise<void> | undefined;

  constructor(parts: RepositoryParts) {
    this.#parts = parts;
    this.#frames = new StoredFrames(parts.store, parts.index, (...frame) => parts.reader.readFrame(...frame));
  }

  async ingest(options: { readonly label: string; readonly signal?: AbortSignal }): Promise<IngestSession> {
    options.signal?.throwIfAborted();
    const sessions = this.#sessions;
    const memory = {
      limit: SESSION_MEMORY_BYTES,
      held: () => [...sessions].reduce((sum, session) => sum + session.heldBytes, 0),
    };
    const onClose = (session: Session) => sessions.delete(session);
    const isUpkept = () => this.#upkept !== undefined;
    const session = new Session({ ...this.#parts, memory, onClose, isUpkept }, options.signal);
    sessions.add(session);
    // They may be told that a chunk is stored, which only one of them has stored so far.
    if (sessions.size > 1) this.#rely();
    return session;
  }

  readChunk(digest: Digest): Promise<Uint8Array> {
    return this.#parts.reader.read(digest);
  }

  readUncompared(digest: Digest): Promise<Uint8Array> {
    return this.#parts.reader.readUncompared(digest);
  }

  frameOf(digest: Digest): Promise<StoredFrame | undefined> {
    return this.#frames.of(digest);
  }

  async hasChunks(digests: readonly Digest[]): Promise<boolean[]> {
    return digests.map((digest) => this.#parts.index.isSound(digest));
  }

  readManifest(manifest: ManifestRef, options: ReadManifestOptions = {}): AsyncIterable<Entry> {
    return walkEntries(manifest, this.#readReferred, options);
  }

  readManifestPages(manifest: ManifestRef): AsyncIterable<Uint8Array> {
    return walkPages(manifest, this.#readReferred);
  }

  readContent(content: ContentRef): AsyncIterable<Uint8Array> {
    return readContent(content, this.#readReferred);
  }

  openContent(content: ContentRef): RandomReader {
    return openContent(content, this.#readReferred);
  }

  commitSnapshot(snapshot: Snapshot): Promise<void> {
    return this.#gate.pass(() => this.#commitSnapshot(snapshot));
  }

  async #commitSnapshot(snapshot: Snapshot): Promise<void> {
    const { server, id, parent, master } = snapshot;
    const former = await ifSound(() => this.getSnapshot(server, id));
    if (former?.manifest.root !== snapshot.manifest.root) {
      const older = parent && (await ifSound(() => this.getSnapshot(server, parent)));
      const base = master && (await ifSound(() => this.#getMaster(master.name, master.version)));
      await this.#assertDurable(snapshot.manifest, [older || undefined, base]);
    }
    await this.#commit(['snapshots', server, id], snapshot, rootOfSnapshot(snapshot));
  }

  async listSnapshots(server: string): Promise<Snapshot[]> {
    const records = await this.#parts.records.list(['snapshots', server]);
    return records.map((record) => record.value as Snapshot);
  }

  async getSnapshot(server: string, id: string): Promise<Snapshot | undefined> {
    return (await this.#parts.records.get(['snapshots', server, id])) as Snapshot | undefined;
  }

  async removeSnapshot(server: string, id: string): Promise<void> {
    await this.#parts.records.remove(['snapshots', server, id]);
  }

  commitMaster(master: Master): Promise<void> {
    return this.#gate.pass(() => this.#commitMaster(master));
  }

  async #commitMaster(master: Master): Promise<void> {
    const before = await ifSound(() => this.#getMaster(master.name, master.version - 1));
    await this.#assertDurable(master.manifest, [before]);
    await this.#commit(['masters', master.name, `${master.version}`], master, rootOfMaster(master));
  }

  async #commit(parts: readonly string[], value: Snapshot | Master, root: Root): Promise<void> {
    this.#rely();
    this.#collector?.committing(root);
    await this.#parts.records.put(parts, value);
  }

  #rely(): void {
    for (const session of this.#sessions) session.rely();
  }

  async listMasters(): Promise<Master[]> {
    const masters = (await this.#parts.records.list(['masters'])).map((record) => record.value as Master);
    return masters.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.version - b.version));
  }

  async removeMaster(name: string, version: number): Promise<void> {
    await this.#parts.records.remove(['masters', name, `${version}`]);
  }

  async putRecord(kind: string, id: string, value: unknown): Promise<void> {
    await this.#parts.records.put(['records', kind, id], value);
  }

  async getRecord(kind: string, id: string): Promise<unknown | undefined> {
    return this.#parts.records.get(['records', kind, id]);
  }

  async listRecords(kind: string): Promise<{ id: string; value: unknown }[]> {
    const records = await this.#parts.records.list(['records', kind]);
    const prefix = `records/${kind}/`.length;
    return records.map(({ name, value }) => ({ id: name.slice(prefix, -'.json'.length), value }));
  }

  async removeRecord(kind: string, id: string): Promise<void> {
    await this.#parts.records.remove(['records', kind, id]);
  }

  async optimise(options: OptimiseOptions = {}): Promise<OptimiseResult> {
    // Chunks of packs that are there now may become bases.
    this.#rely();
    const reader = this.#parts.reader.frugal();
    const isLeanedOn = (digest: Digest) => [...this.#sessions].some((session) => session.asksFor(digest));
    try {
      return await optimisePacks({ ...this.#parts, reader, isLeanedOn }, options);
    } finally {
      await reader.close();
    }
  }

  async stats(): Promise<RepositoryStats> {
    return this.#parts.index.stats();
  }

  usage(): Promise<RepositoryUsage> {
    // Whoever asks while it is being counted gets the same answer.
    this.#counting ??= usageOf(this.#parts).finally(() => {
      this.#counting = undefined;
    });
    return this.#counting;
  }

  async collect(options: CollectionOptions = {}): Promise<CollectionReport> {
    const sessions = () => [...this.#sessions].map((session) => session.ended);
    return this.#upkeep(options, async (stoppable, reader) => {
      const parts = { ...this.#parts, reader, gate: this.#gate, sessions };
      const collector = new Collector(parts, stoppable);
      this.#collector = collector;
      try {
        return await collector.run();
      } finally {
        this.#collector = undefined;
      }
    });
  }

  verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    return this.#upkeep(options, (stoppable, reader) =>
      new Verifier({ ...this.#parts, reader }, stoppable).run(),
    );
  }

  mend(options: UpkeepOptions = {}): Promise<MendReport> {
    return this.#upkeep(options, (stoppable, reader) => mend({ ...this.#parts, reader }, stoppable));
  }

  /** One at a time, with a reader of its own; ends with the repository. */
  async #upkeep<O extends UpkeepOptions, T>(
    options: O,
    work: (options: O & { readonly signal: AbortSignal }, reader: ChunkReader) => Promise<T>,
  ): Promise<T> {
    if (this.#upkept !== undefined) {
      throw new OverdubError(
        'CONFLICT',
        'The repository is being collected, verified or repaired already.',
        'Wait for that: overdub operation list --state running.',
      );
    }
    const signal = AbortSignal.any([this.#closing.signal, ...(options.signal ? [options.signal] : [])]);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#upkept = promise;
    const reader = this.#parts.reader.frugal();
    try {
      return await work({ ...options, signal }, reader);
    } finally {
      await reader.close().finally(() => {
        this.#upkept = undefined;
        resolve();
      });
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the repository is closing'));
    await this.#upkept;
    await this.#counting?.catch(() => undefined);
    for (const session of [...this.#sessions]) await session.close();
    await this.#parts.reader.close();
    this.#parts.similar.close();
    this.#parts.index.close();
    await this.#parts.store.close();
  }

  async #getMaster(name: string, version: number): Promise<Master | undefined> {
    return (await this.#parts.records.get(['masters', name, `${version}`])) as Master | undefined;
  }

  async #assertDurable(
    manifest: ManifestRef,
    committed: readonly ({ readonly manifest: ManifestRef } | undefined)[],
  ): Promise<void> {
    for (const session of this.#sessions) if (session.holds(manifest.root)) await session.flush();
    const older = committed.flatMap((one) => (one === undefined ? [] : [one.manifest]));
    await assertStored(manifest, older, this.#parts.index, this.#readReferred);
  }

  /** What a committed image refers to must be there: a missing chunk is damage, not a wrong question. */
  readonly #readReferred = async (digest: Digest): Promise<Uint8Array> => {
    try {
      return await this.#parts.reader.read(digest);
    } catch (error) {
      if (!(error instanceof OverdubError) || error.code !== 'NOT_FOUND') throw error;
      throw damaged(`Chunk ${digest}, which an image refers to, is not in the repository.`, error);
    }
  };
}

/** A damaged older record saves no work, but must not keep a new one from being committed. */
async function ifSound<T>(read: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof OverdubError && error.code === 'REPOSITORY_DAMAGED') return undefined;
    throw error;
  }
}

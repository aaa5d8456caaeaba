import type { Log } from '../../contracts/log.ts';
import type { CollectionOptions, CollectionReport } from '../../contracts/repository.ts';
import { DigestSet } from '../../domain/digest-set.ts';
import type { Digest } from '../../domain/manifest.ts';
import { chunksOfPage } from '../../domain/page-chunks.ts';
import { walkPages } from '../../domain/page-walk.ts';
import { OverdubError } from '../../errors.ts';
import { WaitingGarbage } from '../../waiting-garbage.ts';
import type { ChunkIndex } from '../chunk-index/chunk-index.ts';
import { type LiveSet, type PackLife, worthCopying } from '../chunk-index/live-set.ts';
import type { CommitGate } from '../ingest/commit-gate.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import type { PortableStore } from '../store/portable-store.ts';
import type { RecordStore } from '../store/records.ts';
import { type Root, rootsOf } from '../store/roots.ts';
import { PackCopier } from './pack-copier.ts';

/** Rewriting leaves at least so much of the store free: a full store first gets rid of what is dead. */
const SPARE_BYTES = 64 * 1024 * 1024;

export interface CollectorParts {
  readonly store: PortableStore;
  readonly index: ChunkIndex;
  readonly reader: ChunkReader;
  readonly records: RecordStore;
  readonly log: Log;
  readonly gate: CommitGate;
  /** Sessions that are open now, each as the promise of its end. */
  readonly sessions: () => readonly Promise<void>[];
}

/**
 * One collection. It marks what the committed images need, copies what lives in sparse packs, condemns the packs in
 * which nothing lives, waits until every session that was open then has ended, marks what was committed meanwhile, and
 * removes what is still condemned. Cut off anywhere, it has only ever removed what nothing refers to.
 */
export class Collector {
  readonly #parts: CollectorParts;
  readonly #options: CollectionOptions;
  readonly #pages = new DigestSet();
  readonly #garbage = new WaitingGarbage();
  /** Images committed since the collection began. */
  #news: Root[] = [];
  #live: LiveSet | undefined;

  constructor(parts: CollectorParts, options: CollectionOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** An image is about to be committed: it counts, whether or not the marking has passed its place. */
  committing(root: Root): void {
    this.#news.push(root);
  }

  /** REPOSITORY_DAMAGED when it cannot be known what lives; then nothing was removed. */
  async run(): Promise<CollectionReport> {
    const { index } = this.#parts;
    const live = index.beginCollection();
    this.#live = live;
    try {
      await this.#markAll();
      const before = summaryOf(live);
      if (this.#options.dryRun === true) return { ...before, ...estimateOf(live), dryRun: true };
      const copied = await this.#copySparse(live);
      const open = await this.#condemn(live);
      await this.#outlive(open);
      const freed = await this.#removeCondemned(live);
      return { ...before, dryRun: false, ...freed, ...copied };
    } finally {
      await index.endCollection();
    }
  }

  async #markAll(): Promise<void> {
    this.#say('looking for what is in use');
    for await (const root of rootsOf(this.#parts.records)) await this.#markImage(root);
    await this.#markNews();
  }

  async #markNews(): Promise<void> {
    for (let root = this.#news.pop(); root !== undefined; root = this.#news.pop())
      await this.#markImage(root);
  }

  /** Pages are told apart from contents: a file may hold the very bytes of a page. */
  async #markImage({ manifest, label }: Root): Promise<void> {
    const live = this.#live as LiveSet;
    const enter = (digest: Digest) => {
      if (this.#pages.has(digest)) return false;
      this.#pages.add(digest);
      live.mark(digest);
      return true;
    };
    try {
      for await (const page of walkPages(manifest, (digest) => this.#parts.reader.read(digest), { enter })) {
        this.#options.signal?.throwIfAborted();
        this.#garbage.check();
        for (const digest of chunksOfPage(page)) live.mark(digest);
      }
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      throw unknowable(label, error);
    }
  }

  async #copySparse(live: LiveSet): Promise<Pick<CollectionReport, 'copiedPacks' | 'copiedBytes'>> {
    const copier = new PackCopier(this.#parts, live);
    let copiedPacks = 0;
    try {
      for (const pack of live.packs) {
        if (!isSparse(pack)) continue;
        this.#options.signal?.throwIfAborted();
        if (!(await this.#hasRoom())) break;
        this.#say('copying what lives in sparse packs', copier.copiedBytes);
        if (await this.#copyPack(copier, pack)) copiedPacks += 1;
      }
      await copier.flush();
    } catch (error) {
      if (!isCode(error, 'REPOSITORY_FULL')) throw error;
      this.#parts.log.warn({}, 'there is no room to copy sparse packs; removing what is dead first');
    }
    return { copiedPacks, copiedBytes: copier.copiedBytes };
  }

  /** Damage is left where it is: what can be read of it may still be needed. */
  async #copyPack(copier: PackCopier, pack: PackLife): Promise<boolean> {
    try {
      await copier.copy(pack);
      return true;
    } catch (error) {
      if (!isCode(error, 'REPOSITORY_DAMAGED', 'DRIVER_MISSING')) throw error;
      this.#parts.log.warn({ pack: pack.name, error: String(error) }, 'a sparse pack is left as it is');
      return false;
    }
  }

  async #hasRoom(): Promise<boolean> {
    const space = await this.#parts.store.space();
    return space === undefined || space.freeBytes > SPARE_BYTES;
  }

  /** From here on nobody new comes to refer to what is condemned. Returns the sessions that may do so already. */
  async #condemn(live: LiveSet): Promise<readonly Promise<void>[]> {
    await this.#markNews();
    return this.#parts.gate.close(async () => {
      await this.#markNews();
      live.condemn();
      return this.#parts.sessions();
    });
  }

  async #outlive(sessions: readonly Promise<void>[]): Promise<void> {
    const { signal } = this.#options;
    let left = sessions.length;
    const say = () => this.#say(`waiting for ${left} snapshots or imports that began before`);
    if (left > 0) say();
    const { promise: given, reject } = Promise.withResolvers<never>();
    given.catch(() => undefined);
    const giveUp = () => reject(signal?.reason);
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      signal?.throwIfAborted();
      const ends = sessions.map((end) => end.then(() => --left > 0 && say()));
      await Promise.race([Promise.all(ends), given]);
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
    await this.#markNews();
    await this.#parts.gate.close(() => this.#markNews());
  }

  /** Each pack is looked at once more at the moment it goes: a commit may have brought it back. */
  async #removeCondemned(live: LiveSet): Promise<Pick<CollectionReport, 'removedPacks' | 'freedBytes'>> {
    let [removedPacks, freedBytes] = [0, 0];
    for (const pack of live.packs) {
      if (pack.state !== 'condemned') continue;
      this.#options.signal?.throwIfAborted();
      this.#say('removing packs', freedBytes);
      pack.state = 'gone';
      this.#expectGone(pack);
      await this.#parts.store.remove(pack.name);
      removedPacks += 1;
      freedBytes += pack.bytes;
    }
    return { removedPacks, freedBytes };
  }

  /** Only saves the next opening work: a full disk may refuse it. */
  #expectGone(pack: PackLife): void {
    try {
      this.#parts.index.expectGone(pack);
    } catch (error) {
      this.#parts.log.warn({ pack: pack.name, error: String(error) }, 'the chunk index could not be written');
    }
  }

  #say(text: string, doneBytes?: number): void {
    this.#options.onProgress?.({ text, ...(doneBytes === undefined ? {} : { doneBytes }) });
  }
}

function isSparse(pack: PackLife): boolean {
  return pack.liveChunks > 0 && worthCopying(pack);
}

function summaryOf(
  live: LiveSet,
): Pick<CollectionReport, 'liveChunks' | 'liveBytes' | 'packs' | 'packBytes'> {
  const packs = [...live.packs];
  const sum = (of: (pack: PackLife) => number) =>
    Math.round(packs.reduce((total, pack) => total + of(pack), 0));
  return {
    liveChunks: live.chunks,
    liveBytes: sum((pack) => pack.liveBytes),
    packs: packs.length,
    packBytes: sum((pack) => pack.bytes),
  };
}

/** What a collection would do now. */
function estimateOf(live: LiveSet) {
  const packs = [...live.packs];
  const dead = packs.filter((pack) => pack.liveChunks === 0 && pack.readable);
  const sparse = packs.filter(isSparse);
  const bytes = (some: readonly PackLife[]) => some.reduce((sum, pack) => sum + pack.bytes, 0);
  return {
    removedPacks: dead.length + sparse.length,
    freedBytes: bytes(dead) + bytes(sparse),
    copiedPacks: sparse.length,
    copiedBytes: Math.round(sparse.reduce((sum, pack) => sum + pack.liveBytes, 0)),
  };
}

function isCode(error: unknown, ...codes: readonly OverdubError['code'][]): boolean {
  return error instanceof OverdubError && codes.includes(error.code);
}

/** What an image needs that cannot be read must not be taken for garbage. */
function unknowable(label: string, cause: unknown): unknown {
  if (!isCode(cause, 'REPOSITORY_DAMAGED', 'NOT_FOUND', 'IMAGE_INVALID')) return cause;
  return new OverdubError(
    'REPOSITORY_DAMAGED',
    `The list of files of ${label} cannot be read, so what it needs is not known; nothing was removed.`,
    `Repair it (overdub verify, then overdub repair), or remove ${label}; then collect again.`,
    { cause },
  );
}

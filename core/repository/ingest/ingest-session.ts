import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { RandomReader } from '../../contracts/delta-codec.ts';
import type { IngestSession, MadeDelta, MadeFrame, NearHint, SentForm } from '../../contracts/repository.ts';
import { CHUNK_LIMITS, chunkViews } from '../../domain/chunker.ts';
import { digestOf, isDigest } from '../../domain/content-ref.ts';
import { DigestSet } from '../../domain/digest-set.ts';
import type { ChunkRef, ContentRef, Digest, Entry, ManifestRef } from '../../domain/manifest.ts';
import { type BuiltPage, PageBuilder } from '../../domain/page-builder.ts';
import { OverdubError } from '../../errors.ts';
import type { ChunkIndex } from '../chunk-index/chunk-index.ts';
import type { BaseSource, DeltaSearch, FoundForm } from '../deltas/delta-search.ts';
import { NearTracker } from '../deltas/near-tracker.ts';
import type { SimilarChunks } from '../deltas/similar-chunks.ts';
import { MADE_DEPTH, SHARED_DEPTH } from '../packs/pack-format.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import { openContent } from '../reading/content-reader.ts';
import type { PortableStore } from '../store/portable-store.ts';
import { sortEntries } from './entry-sorter.ts';
import { MadeForms } from './made-forms.ts';
import { type FramedChunk, openFrame } from './made-frame.ts';
import { PackQueue } from './pack-queue.ts';
import { Recipe, sliceStream } from './recipe.ts';

/** A frame of which more than this share resembles stored chunks is taken apart, for the sake of deltas. */
const RESEMBLING_SHARE = 0.5;

/** What sessions share. */
export interface SessionParts {
  readonly store: PortableStore;
  readonly index: ChunkIndex;
  readonly reader: ChunkReader;
  readonly search: DeltaSearch;
  readonly similar: SimilarChunks;
  readonly stateDir: string;
  /** Bytes that all open sessions hold in memory, and the most they should. */
  readonly memory: { held(): number; readonly limit: number };
  readonly onClose: (session: Session) => void;
  /** Is the repository being collected, verified or repaired now? */
  readonly isUpkept: () => boolean;
}

/**
 * One caller's new data. Chunks gather in packs; others may count on a chunk only when its pack is durable, so
 * a crash or an early close leaves garbage and never a reference to nothing. After a failed write the session
 * is over: every later call rejects with the same error.
 */
export class Session implements IngestSession {
  readonly id = randomBytes(8).toString('hex');
  readonly #parts: SessionParts;
  readonly #signal: AbortSignal | undefined;
  readonly #packs: PackQueue;
  readonly #made: MadeForms;
  readonly #running = new Map<Digest, Promise<void>>();
  /** Chunks whose form it has learned: something that it stores may lie on them. */
  readonly #asked = new DigestSet();
  readonly #ended = Promise.withResolvers<void>();
  #closed = false;
  #relied = false;

  constructor(parts: SessionParts, signal: AbortSignal | undefined) {
    this.#parts = parts;
    this.#signal = signal;
    this.#packs = new PackQueue(parts.store, parts.index, () => this.#relied || parts.isUpkept());
    this.#made = new MadeForms({ reader: parts.reader, source: this.#bases(), pending: this.#packs });
  }

  /** Resolves when the session is closed: from then on nothing it referred to counts for it. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get storedBytes(): number {
    return this.#packs.storedBytes;
  }

  /** From now on others may count on what it has stored. */
  rely(): void {
    this.#relied = true;
  }

  /** Bytes held in memory. */
  get heldBytes(): number {
    return this.#packs.heldBytes;
  }

  /** May it be about to store something that is made from this chunk, in the form that the chunk has now? */
  asksFor(digest: Digest): boolean {
    return this.#asked.has(digest);
  }

  async missing(digests: readonly Digest[]): Promise<boolean[]> {
    this.#assertUsable();
    return digests.map((digest) => !this.#knows(digest));
  }

  async addChunk(digest: Digest, bytes: Uint8Array, near?: NearHint): Promise<void> {
    this.#assertUsable();
    assertChunkLength(bytes);
    if (!isDigest(digest)) throw badInput(`A chunk named ${JSON.stringify(digest)} cannot be stored`);
    if (this.#knows(digest)) return;
    if (digestOf(bytes) !== digest) throw badInput(`The bytes sent for chunk ${digest} have another digest`);
    await this.#addVerified(digest, bytes, near);
  }

  async addBytes(
    bytes: Uint8Array,
    admit: (digest: Digest) => boolean,
    { made, near }: SentForm = {},
  ): Promise<Digest> {
    this.#assertUsable();
    assertChunkLength(bytes);
    const digest = digestOf(bytes);
    if (admit(digest)) await this.#addVerified(digest, bytes, near, made);
    return digest;
  }

  async addFrame(frame: MadeFrame, admit: (chunks: readonly ChunkRef[]) => void): Promise<void> {
    this.#assertUsable();
    const opened = await openFrame(frame).catch((error: unknown) => {
      throw badInput(`A frame cannot be stored: ${error instanceof Error ? error.message : String(error)}`);
    });
    try {
      const { chunks } = opened;
      admit(chunks);
      if (this.#allNew(chunks) && this.#isUnlikeStored(chunks)) this.#packs.appendFrame(frame, chunks);
      // Copied there, so that closing takes nothing away.
      else for (const { digest, payload } of chunks) await this.#addVerified(digest, payload, undefined);
    } finally {
      opened.close();
    }
    await this.#relieve();
  }

  /** Then its chunks are remembered; else a delta for each is worth more than the frame as it is. */
  #isUnlikeStored(chunks: readonly FramedChunk[]): boolean {
    const { similar } = this.#parts;
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.bytes, 0);
    const featured = chunks.flatMap(({ digest, bytes: length, payload }) => {
      const features = similar.featuresOf(payload);
      return features === undefined ? [] : [{ digest, bytes: length, features }];
    });
    const like = featured.filter(({ features }) => this.#isBase(similar.find(features)));
    if (like.reduce((sum, chunk) => sum + chunk.bytes, 0) > bytes * RESEMBLING_SHARE) return false;
    for (const { digest, features } of featured) similar.add(features, digest);
    return true;
  }

  #isBase(digest: Digest | undefined): boolean {
    return digest !== undefined && this.#bases().facts(digest) !== undefined;
  }

  /** Only then a frame is kept whole: what is known already would be stored twice. */
  #allNew(chunks: readonly FramedChunk[]): boolean {
    const digests = new Set(chunks.map(({ digest }) => digest));
    const isNew = (digest: Digest) =>
      !this.holds(digest) && !this.#running.has(digest) && this.#parts.index.standing(digest) === 'missing';
    return digests.size === chunks.length && chunks.every(({ digest }) => isNew(digest));
  }

  async addStream(source: AsyncIterable<Uint8Array>, near?: Omit<NearHint, 'offset'>): Promise<ContentRef> {
    this.#assertUsable();
    return this.#addChunks(chunkViews(source), near);
  }

  async addContent(
    content: ContentRef,
    source: AsyncIterable<Uint8Array>,
    near?: Omit<NearHint, 'offset'>,
  ): Promise<void> {
    this.#assertUsable();
    const lengths = content.chunks.map((chunk) => chunk.bytes);
    if (!lengths.every((length) => length > 0 && length <= CHUNK_LIMITS.max)) {
      throw badInput(`Content ${content.digest} lists a chunk of an impossible length`);
    }
    let next = 0;
    const checked = async function* () {
      for await (const chunk of sliceStream(source, lengths)) {
        const expected = content.chunks[next++];
        if (expected === undefined) throw badInput(`More bytes came for ${content.digest} than it has`);
        if (expected.bytes !== chunk.length || digestOf(chunk) !== expected.digest) {
          throw badInput(`The bytes sent for ${content.digest} do not match its chunk ${expected.digest}`);
        }
        yield chunk;
      }
    };
    const made = await this.#addChunks(checked(), near);
    if (next < lengths.length) throw badInput(`Fewer bytes came for ${content.digest} than it has`);
    if (made.digest !== content.digest || made.bytes !== content.bytes) {
      throw badInput(`The chunks of ${content.digest} do not add up to it`);
    }
  }

  openContent(content: ContentRef): RandomReader {
    return openContent(content, (digest) => this.#read(digest));
  }

  async writeManifest(
    entries: AsyncIterable<Entry> | Iterable<Entry>,
    { sorted = false }: { readonly sorted?: boolean } = {},
  ): Promise<ManifestRef> {
    this.#assertUsable();
    // It takes nothing that is out of order.
    const builder = new PageBuilder();
    const inOrder = sorted ? entries : sortEntries(entries, join(this.#parts.stateDir, `sort-${this.id}.db`));
    for await (const entry of inOrder) {
      for (const page of builder.add(entry)) await this.#addPage(page);
    }
    const { pages, manifest } = builder.finish();
    for (const page of pages) await this.#addPage(page);
    return manifest;
  }

  async flush(): Promise<void> {
    this.#assertUsable();
    await Promise.all(this.#running.values());
    await this.#packs.flush();
  }

  /** Does this session hold the chunk, not yet durable? */
  holds(digest: Digest): boolean {
    return this.#packs.find(digest) !== undefined;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await Promise.allSettled(this.#running.values());
      await this.#packs.drop();
    } finally {
      this.#parts.onClose(this);
      this.#ended.resolve();
    }
  }

  #knows(digest: Digest): boolean {
    return this.holds(digest) || this.#parts.index.isSound(digest);
  }

  #read(digest: Digest): Promise<Uint8Array> {
    return this.#parts.reader.read(digest, this.#packs);
  }

  async #addChunks(
    chunks: AsyncIterable<Uint8Array>,
    near: Omit<NearHint, 'offset'> | undefined,
  ): Promise<ContentRef> {
    const tracker = new NearTracker(near?.contents ?? []);
    const recipe = new Recipe();
    for await (const chunk of chunks) {
      const offset = recipe.bytes;
      const digest = recipe.add(chunk);
      tracker.saw(digest, offset);
      await this.#addVerified(digest, chunk, near === undefined ? undefined : tracker.hint(offset));
    }
    return recipe.finish();
  }

  async #addPage({ digest, bytes }: BuiltPage): Promise<void> {
    await this.#addVerified(digest, bytes, undefined);
  }

  /** Keeps nothing of `bytes` when it resolves. Two offers of one digest at a time are one. */
  async #addVerified(
    digest: Digest,
    bytes: Uint8Array,
    near: NearHint | undefined,
    made?: MadeDelta,
  ): Promise<void> {
    this.#assertUsable();
    if (this.#knows(digest)) return;
    const running = this.#running.get(digest);
    if (running !== undefined) return running;
    const work = this.#place(digest, bytes, near, made).finally(() => this.#running.delete(digest));
    this.#running.set(digest, work);
    await work;
  }

  async #place(
    digest: Digest,
    bytes: Uint8Array,
    near: NearHint | undefined,
    made: MadeDelta | undefined,
  ): Promise<void> {
    // What replaces a damaged or condemned chunk must not hang on others, which may hang on that one.
    const healing = this.#parts.index.standing(digest) !== 'missing';
    if (healing) this.rely();
    const ready =
      made === undefined || healing ? undefined : await this.#made.accept(digest, bytes.length, made);
    const delta =
      ready ?? (healing ? undefined : await this.#found(digest, bytes, near, made?.shared === true));
    const stored = delta === 'whole' ? undefined : delta;
    this.#packs.append({
      digest,
      bytes: bytes.length,
      payload: stored?.payload ?? Uint8Array.prototype.slice.call(bytes),
      ...(stored === undefined ? {} : { delta: stored.form }),
    });
    await this.#relieve();
  }

  /** The best delta against what is near, or what resembles it. */
  async #found(
    digest: Digest,
    bytes: Uint8Array,
    near: NearHint | undefined,
    isShared: boolean,
  ): Promise<FoundForm['delta']> {
    const depth = isShared ? SHARED_DEPTH : MADE_DEPTH;
    const found =
      near === undefined
        ? undefined
        : await this.#parts.search.find(digest, bytes, near, this.#bases(), this.#signal, depth);
    return found?.delta ?? (await this.#resembling(digest, bytes));
  }

  async #relieve(): Promise<void> {
    const { memory } = this.#parts;
    await this.#packs.relieve(memory.held() > memory.limit);
  }

  /** Against the stored chunk that resembles it most, whatever file that is of; else it is remembered as a base. */
  async #resembling(digest: Digest, bytes: Uint8Array): Promise<FoundForm['delta']> {
    const { similar, search } = this.#parts;
    const features = similar.featuresOf(bytes);
    if (features === undefined) return undefined;
    const like = similar.find(features);
    const facts = like === undefined ? undefined : this.#bases().facts(like);
    if (like !== undefined && facts !== undefined && like !== digest) {
      const content = { digest: like, bytes: facts.bytes, chunks: [{ digest: like, bytes: facts.bytes }] };
      const hint = { contents: [content], offset: 0 };
      const found = await search.find(digest, bytes, hint, this.#bases(), this.#signal, SHARED_DEPTH);
      if (found?.delta !== undefined) return found.delta;
    }
    similar.add(features, digest);
    return undefined;
  }

  #bases(): BaseSource {
    return {
      facts: (digest) => {
        this.#asked.add(digest);
        return this.#packs.find(digest) ?? this.#parts.index.findBase(digest);
      },
      read: (digest) => this.#read(digest),
    };
  }

  #assertUsable(): void {
    this.#signal?.throwIfAborted();
    this.#packs.assertSound();
    if (!this.#closed) return;
    throw new OverdubError('CONFLICT', 'The ingest session is closed.', 'Open a new one.');
  }
}

function assertChunkLength({ length }: Uint8Array): void {
  if (length === 0 || length > CHUNK_LIMITS.max)
    throw badInput(`A chunk of ${length} bytes cannot be stored`);
}

function badInput(what: string): OverdubError {
  return new OverdubError(
    'INPUT_INVALID',
    `${what}.`,
    'Send the content again, from a source that is not changing.',
  );
}

import type { DeltaCodec, RandomReader } from '../../contracts/delta-codec.ts';
import { digestOf } from '../../domain/content-ref.ts';
import type { Digest } from '../../domain/manifest.ts';
import { release } from '../../domain/release.ts';
import { OverdubError } from '../../errors.ts';
import type { ChunkIndex, IndexedChunk } from '../chunk-index/chunk-index.ts';
import { MAX_CHAIN } from '../chunk-index/live-set.ts';
import { HeldMarks, type Marks, NO_MARKS } from '../chunk-index/suspects.ts';
import { type DeltaForm, MADE_DEPTH } from '../packs/pack-format.ts';
import type { PendingChunks } from '../packs/pack-writer.ts';
import { damaged, damagedChunk, isDamage } from '../store/damage.ts';
import type { PortableStore } from '../store/portable-store.ts';
import { BaseSpool, type LendBase, type PlacedBase } from './base-spool.ts';
import { ChainReader } from './chain-reader.ts';
import { PayloadReader } from './payload-reader.ts';
import { ReadCache, type ReadCacheLimits } from './read-cache.ts';
import { WatchedChunks } from './watched-chunks.ts';

const MiB = 1024 * 1024;
/**
 * What is restored in whole frames goes out as it is stored: left for here are deltas and their bases, for which one frame of
 * 16 MiB and some small ones do (docs/overlays.md).
 */
const CACHED: ReadCacheLimits = { frames: 20 * MiB, groups: 2 * MiB, bases: 6 * MiB };
/** What suffices where pages are read one behind another: the largest frame. */
const CACHED_FRUGALLY: ReadCacheLimits = { frames: 16 * MiB, groups: MiB, bases: MiB };

/** What a codec says of a delta that it cannot decode. */
const UNDECODABLE: ReadonlySet<OverdubError['code']> = new Set(['DELTA_INVALID', 'DELTA_TOO_LARGE']);

/** How a chunk is read. */
interface Reading {
  readonly pending: PendingChunks | undefined;
  /** What it is a base of, each made from the one behind it. */
  readonly makes: readonly Digest[];
  /** Is it compared with its digest? */
  readonly compared: boolean;
}

/** How carefully a reader reads. */
interface Care {
  /** Is each base compared as well as what is given out? */
  readonly bases: boolean;
  /** In one that reads what another one could not: who is told of what is damaged. Nothing is read a third time. */
  readonly marks?: Marks;
}

export interface ChunkReaderParts {
  readonly store: PortableStore;
  readonly index: ChunkIndex;
  readonly codecs: readonly DeltaCodec[];
  /** Where many bases of one delta are laid out. */
  readonly stateDir: string;
}

/**
 * Reads chunks in whatever form they are stored, and gives out nothing that does not match its digest, but for
 * {@link ChunkReader.readUncompared}. A match speaks for the bases as well; without one, all is read anew, each base compared, so
 * that what is damaged is named. What was only read wrong once is not: it is forgotten.
 */
export class ChunkReader {
  readonly #index: ChunkIndex;
  readonly #marks: Marks;
  readonly #codecs: ReadonlyMap<string, DeltaCodec>;
  readonly #spool: BaseSpool;
  readonly #cache: ReadCache;
  readonly #payloads: PayloadReader;
  /** Deltas of deltas, put together. */
  readonly chains: ChainReader;
  readonly #parts: ChunkReaderParts;
  readonly #care: Care;

  constructor(parts: ChunkReaderParts, cached: ReadCacheLimits = CACHED, care: Care = { bases: false }) {
    const { store, index, codecs, stateDir } = parts;
    this.#parts = parts;
    this.#care = care;
    this.#cache = new ReadCache(cached);
    this.#marks = care.marks ?? NO_MARKS;
    const kept = { index, marks: this.#marks, cache: this.#cache };
    this.#payloads = new PayloadReader({ ...kept, store });
    this.#spool = new BaseSpool(stateDir);
    this.#index = index;
    this.#codecs = new Map(codecs.map((codec) => [codec.name, codec]));
    this.chains = new ChainReader({ ...kept, codecs: this.#codecs, payloads: this.#payloads });
  }

  /**
   * The verified bytes of a chunk, the caller's to free unless the session of `pending` has it. NOT_FOUND when it is not
   * stored, REPOSITORY_DAMAGED when it cannot be read, DRIVER_MISSING when its codec is not loaded.
   */
  async read(digest: Digest, pending?: PendingChunks): Promise<Uint8Array> {
    return await this.#read(digest, pending, true);
  }

  /** As {@link read}, for who compares the bytes, and reads the chunk where they do not match its digest. */
  async readUncompared(digest: Digest): Promise<Uint8Array> {
    return await this.#read(digest, undefined, false);
  }

  async #read(digest: Digest, pending: PendingChunks | undefined, compared: boolean): Promise<Uint8Array> {
    try {
      const bytes = await this.#find(digest, { pending, makes: [], compared });
      if (bytes !== undefined) return bytes;
    } catch (error) {
      if (!this.#isWorthAnother(error)) throw error;
      return await this.#readAnew(digest, pending);
    }
    const unreadable = this.#index.damagedPacks();
    if (unreadable.length > 0) {
      throw damaged(`Chunk ${digest} is not readable; damaged packs: ${unreadable.join(', ')}.`);
    }
    throw new OverdubError(
      'NOT_FOUND',
      `Chunk ${digest} is not in the repository.`,
      'Ask for the digests of a committed image only.',
    );
  }

  async #readAnew(digest: Digest, pending: PendingChunks | undefined): Promise<Uint8Array> {
    const watched = pending && new WatchedChunks(pending);
    const bytes = await this.#anew((reader) => reader.read(digest, watched));
    // What an open session has heals what is damaged where it is stored, and must not be taken for that.
    if (watched?.hasAnswered !== true) this.#index.suspects.clear(digest);
    return bytes;
  }

  #isWorthAnother(error: unknown): boolean {
    return isDamage(error) && this.#care.marks === undefined;
  }

  /**
   * From what is stored, not from what is kept of it, and each base compared. Where that can be read, something of what is kept cannot be
   * right; where it cannot, what is damaged is marked.
   */
  async #anew<T>(work: (reader: ChunkReader) => Promise<T>): Promise<T> {
    const marks = new HeldMarks(this.#index.suspects);
    const reader = new ChunkReader(this.#parts, CACHED_FRUGALLY, { bases: true, marks });
    try {
      const done = await work(reader);
      this.#cache.clear();
      await this.#spool.close();
      return done;
    } catch (error) {
      if (isDamage(error)) marks.release();
      throw error;
    } finally {
      await reader.close();
    }
  }

  /** Another reader of the same repository that keeps less in memory, and compares each base: for upkeep. Close it by itself. */
  frugal(): ChunkReader {
    return new ChunkReader(this.#parts, CACHED_FRUGALLY, { bases: true });
  }

  async close(): Promise<void> {
    await this.#spool.close();
  }

  /**
   * Throws REPOSITORY_DAMAGED unless this payload, found in `pack`, makes the chunk. Bases that are read wrong once are read anew;
   * those of an open session are `pending`.
   */
  async verify(
    digest: Digest,
    pack: string,
    chunk: { readonly bytes: number; readonly delta?: DeltaForm },
    payload: Uint8Array,
    pending?: PendingChunks,
  ): Promise<void> {
    try {
      const made = await this.#restore(digest, pack, chunk, payload, { pending, makes: [], compared: true });
      if (chunk.delta?.places !== undefined) release(made);
    } catch (error) {
      // Without bases there is nothing but the payload, which is the caller's.
      if (chunk.delta === undefined || !this.#isWorthAnother(error)) throw error;
      await this.#anew((reader) => reader.verify(digest, pack, chunk, payload, pending));
    }
  }

  /** Reads a stored chunk anew, whatever is kept in memory. REPOSITORY_DAMAGED. */
  async recheck(digest: Digest): Promise<void> {
    const stored = this.#index.find(digest);
    if (stored === undefined) throw damaged(`Chunk ${digest} is not in the repository.`);
    const { pack, frame, at, payloadBytes } = stored;
    const raw = await this.readFrame(digest, pack, frame);
    await this.verify(digest, pack, stored, raw.subarray(at, at + payloadBytes));
  }

  async #find(digest: Digest, reading: Reading): Promise<Uint8Array | undefined> {
    const held = reading.pending?.find(digest);
    if (held !== undefined) {
      const payload = await held.payload();
      return this.#restore(digest, 'the open session', held, payload, reading);
    }
    const stored = this.#index.find(digest);
    if (stored === undefined) return undefined;
    try {
      const isDeep = (stored.delta?.depth ?? 0) > MADE_DEPTH;
      const payload = await (isDeep
        ? this.#payloads.link(digest, stored)
        : this.#payloads.payload(digest, stored));
      return await this.#restore(digest, stored.pack, stored, payload, reading);
    } catch (error) {
      // Collected or moved while it was read: then it is elsewhere now, or nowhere.
      const now = this.#index.find(digest);
      if (now?.pack !== stored.pack) return this.#find(digest, reading);
      // Whoever offers these bytes again shall be let in: that is how damage heals.
      if (isDamage(error)) this.#marks.mark(digest);
      throw error;
    }
  }

  /** The decoded bytes of a frame, the caller's to free; no digest is checked. REPOSITORY_DAMAGED names the chunk. */
  readFrame(digest: Digest, pack: string, frame: IndexedChunk['frame']): Promise<Uint8Array> {
    return this.#payloads.readFrame(digest, pack, frame);
  }

  async #restore(
    digest: Digest,
    pack: string,
    chunk: { readonly bytes: number; readonly delta?: DeltaForm },
    payload: Uint8Array,
    reading: Reading,
  ): Promise<Uint8Array> {
    const { delta } = chunk;
    const bytes =
      delta === undefined
        ? payload
        : await this.#applyDelta(digest, pack, delta, chunk.bytes, payload, reading);
    // Of a deep one it was looked at when it was put together.
    const isDeep = delta !== undefined && delta.depth > MADE_DEPTH;
    const isLike = isDeep || !reading.compared || digestOf(bytes) === digest;
    if (bytes.length !== chunk.bytes || !isLike) throw unlike(digest, pack);
    return bytes;
  }

  async #applyDelta(
    digest: Digest,
    pack: string,
    delta: DeltaForm,
    targetBytes: number,
    payload: Uint8Array,
    reading: Reading,
  ): Promise<Uint8Array> {
    const { pending } = reading;
    const below: Reading = {
      pending,
      makes: [...reading.makes, digest],
      compared: this.#care.bases,
    };
    const codec = this.#codecs.get(delta.codec);
    if (codec === undefined) {
      throw new OverdubError(
        'DRIVER_MISSING',
        `Chunk ${digest} is stored as a delta of codec ${delta.codec}, which is not loaded.`,
        `Configure the plugin that brings the codec ${delta.codec}, for example diff-${delta.codec}.`,
      );
    }
    const options = { targetBytes, formatVersion: delta.formatVersion };
    const undecodable = (error: unknown) => {
      // A base that cannot be read is named by its own error, and so is a storage that gives nothing.
      if (error instanceof OverdubError && !UNDECODABLE.has(error.code)) throw error;
      throw damagedChunk(digest, pack, `codec ${delta.codec} cannot decode it`, error);
    };
    if (delta.depth > MADE_DEPTH) {
      const link = { bytes: targetBytes, delta, payload: () => Promise.resolve(payload) };
      const whole = (base: Digest) => this.#base(base, below);
      const made = await this.chains.make(digest, link, whole, reading).catch(undecodable);
      if (made === undefined) throw unlike(digest, pack);
      return made;
    }
    if (delta.places !== undefined) {
      const { signatures } = codec;
      if (signatures === undefined) throw damagedChunk(digest, pack, `codec ${delta.codec} takes no places`);
      for (const base of delta.bases) assertLeadsOn(base, below.makes);
      const lend: LendBase = async (base, use) => {
        const isHeld = () => pending?.find(base) !== undefined;
        const wasHeld = isHeld();
        if (!wasHeld && (await this.#lendPart(base, below.compared, use))) return;
        const bytes = await this.#whole(digest, pack, base, below);
        await use(bytes);
        // Its pack may have been collected meanwhile, and the session have come to hold it.
        if (!wasHeld && !isHeld()) release(bytes);
      };
      const patch = (space: RandomReader) =>
        join(signatures.patch(space, once(payload), options), targetBytes);
      return this.#spool.with(placedBases(delta), lend, patch).catch(undecodable);
    }
    const base = await this.#readBases(digest, pack, delta, below);
    const made = await codec.decode(base, payload, options).catch(undecodable);
    // A codec may give out what it was given, which is kept here.
    return made.buffer === base.buffer || made.buffer === payload.buffer ? new Uint8Array(made) : made;
  }

  /** A base as it lies in a frame that is kept; false where it lies in none, or is not to be had like that. */
  async #lendPart(
    base: Digest,
    compared: boolean,
    use: (bytes: Uint8Array) => Promise<void>,
  ): Promise<boolean> {
    const stored = this.#index.find(base);
    if (stored === undefined || stored.delta !== undefined) return false;
    let isLike = true;
    const compare = async (bytes: Uint8Array) => {
      isLike = !compared || digestOf(bytes) === base;
      if (isLike) await use(bytes);
    };
    try {
      // One that is unlike says so when it is read by itself, from the same frame, which is kept.
      return (await this.#payloads.lend(base, stored, compare)) && isLike;
    } catch (error) {
      // Moved meanwhile: it is found where it lies now. What does not decompress would not do so a second time.
      if (this.#index.find(base)?.pack !== stored.pack) return false;
      if (isDamage(error)) this.#marks.mark(base);
      throw error;
    }
  }

  /** A base that is laid out in a file afterwards, so that keeping it in memory would be for nothing. */
  async #whole(digest: Digest, pack: string, base: Digest, reading: Reading): Promise<Uint8Array> {
    assertLeadsOn(base, reading.makes);
    const bytes = await this.#find(base, reading);
    if (bytes === undefined) throw damagedChunk(digest, pack, `its base ${base} is missing`);
    return bytes;
  }

  async #readBases(digest: Digest, pack: string, delta: DeltaForm, reading: Reading): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (const base of delta.bases) {
      const bytes = await this.#base(base, reading);
      if (bytes === undefined) throw damagedChunk(digest, pack, `its base ${base} is missing`);
      parts.push(bytes);
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }

  /** Neighbouring chunks share bases, so those that are stored are kept a while. */
  async #base(base: Digest, reading: Reading) {
    assertLeadsOn(base, reading.makes);
    const held = reading.pending?.find(base);
    const stored = held === undefined ? this.#index.find(base) : undefined;
    if (stored === undefined) return this.#find(base, reading);
    return this.#cache.base(base, stored.bytes, async () => {
      const bytes = await this.#find(base, { ...reading, pending: undefined });
      if (bytes === undefined) throw damaged(`Chunk ${base}, a delta’s base, is missing.`);
      return bytes;
    });
  }
}

/** What is kept may be under way: a base that waits for itself there would wait for ever. */
function assertLeadsOn(base: Digest, makes: readonly Digest[]): void {
  if (makes.length > MAX_CHAIN || makes.includes(base))
    throw damaged(`Chunk ${base} is damaged: the deltas that it is made from go in a circle.`);
}

function unlike(digest: Digest, pack: string): OverdubError {
  return damagedChunk(digest, pack, 'its bytes do not match its digest');
}

function placedBases({ bases, places = [] }: DeltaForm): PlacedBase[] {
  return places.map((place, at) => ({ ...place, digest: bases[at] as Digest }));
}

/** A piece is nobody else's: one that is all of it is not copied. */
async function join(pieces: AsyncIterable<Uint8Array>, bytes: number): Promise<Uint8Array> {
  let joined: Uint8Array | undefined;
  let at = 0;
  for await (const piece of pieces) {
    if (at === 0 && piece.length === bytes) joined = piece;
    else {
      joined ??= Buffer.allocUnsafeSlow(bytes);
      joined.set(piece, at);
    }
    at += piece.length;
  }
  return joined?.subarray(0, at) ?? new Uint8Array();
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

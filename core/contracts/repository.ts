/** The repository: images stored as manifest plus contents, snapshots and masters as commit objects. */

import type { ChunkRef, ContentRef, Digest, Entry, ManifestRef } from '../domain/manifest.ts';
import type { Master } from '../domain/master.ts';
import type { Progress } from '../domain/operation.ts';
import type { Snapshot } from '../domain/snapshot.ts';
import type { RandomReader } from './delta-codec.ts';

export interface Repository {
  /** Opens a session for new data. Nothing it stored counts until a commit refers to it. */
  ingest(options: { readonly label: string; readonly signal?: AbortSignal }): Promise<IngestSession>;
  /** Whole, verified bytes of one chunk, in a buffer that is the caller's to free. NOT_FOUND, REPOSITORY_DAMAGED. */
  readChunk(digest: Digest): Promise<Uint8Array>;
  /** As {@link readChunk}, for who compares the bytes with the digest, and reads the chunk itself where they differ. */
  readUncompared(digest: Digest): Promise<Uint8Array>;
  /**
   * The frame that holds this chunk, as it is stored: for whoever decodes and checks it elsewhere, with Zstandard alone. Undefined where
   * the chunk is made from others, where the frame needs another decoder, and where it cannot be found.
   */
  frameOf(digest: Digest): Promise<StoredFrame | undefined>;
  /** Which of these can be read, as far as is known; what cannot counts as missing. */
  hasChunks(digests: readonly Digest[]): Promise<boolean[]>;
  /** Entries in manifest order. Memory stays flat. */
  readManifest(manifest: ManifestRef, options?: ReadManifestOptions): AsyncIterable<Entry>;
  /** Raw manifest pages (what {@link encodePage} made), in order, for the wire. */
  readManifestPages(manifest: ManifestRef): AsyncIterable<Uint8Array>;
  /** Verified bytes of a file, in chunk order. */
  readContent(content: ContentRef): AsyncIterable<Uint8Array>;
  openContent(content: ContentRef): RandomReader;

  /**
   * Durable commit objects. Blobs are flushed first; resolves when the record itself is durable. Also for re-commits that
   * change `pinned` or `suspect`.
   */
  commitSnapshot(snapshot: Snapshot): Promise<void>;
  /** Newest last. */
  listSnapshots(server: string): Promise<Snapshot[]>;
  getSnapshot(server: string, id: string): Promise<Snapshot | undefined>;
  removeSnapshot(server: string, id: string): Promise<void>;
  commitMaster(master: Master): Promise<void>;
  listMasters(): Promise<Master[]>;
  removeMaster(name: string, version: number): Promise<void>;
  /** Other records that must survive a burnt appliance (servers, catalogue exports). JSON, by kind and id. */
  putRecord(kind: string, id: string, value: unknown): Promise<void>;
  getRecord(kind: string, id: string): Promise<unknown | undefined>;
  listRecords(kind: string): Promise<{ id: string; value: unknown }[]>;
  removeRecord(kind: string, id: string): Promise<void>;

  /**
   * Compresses harder what snapshots stored in a hurry; what lies in whole chunks elsewhere becomes a delta. Whatever happens
   * meanwhile stays readable; sessions may run. REPOSITORY_DAMAGED when a pack cannot be read.
   */
  optimise(options?: OptimiseOptions): Promise<OptimiseResult>;
  stats(): Promise<RepositoryStats>;
  /** What is held for whom, counted anew: reads every manifest page once. */
  usage(): Promise<RepositoryUsage>;
  /**
   * Removes what no committed image needs, while everything else goes on. Waits for the sessions that are open when it
   * condemns; cut off or cancelled anywhere, it has removed only what nothing refers to. CONFLICT while another
   * one runs; REPOSITORY_DAMAGED when it cannot be known what is needed: then nothing was removed.
   */
  collect(options?: CollectionOptions): Promise<CollectionReport>;
  /**
   * Looks for damage, and names what it touches. What cannot be read counts as missing from then on for whoever offers
   * it; nothing else is changed. CONFLICT while the repository is being collected or verified; DRIVER_MISSING when
   * a codec is not loaded.
   */
  verify(options?: VerifyOptions): Promise<VerifyReport>;
  /**
   * Mends what can be mended from the repository alone (packs whose index is damaged, chunks that can be read again),
   * and says what images still lack, as far as that is known. Takes nothing away. CONFLICT as in {@link verify}.
   */
  mend(options?: UpkeepOptions): Promise<MendReport>;
  close(): Promise<void>;
}

export interface OptimiseOptions {
  readonly signal?: AbortSignal;
  /** Awaited behind each pack, with the milliseconds it took: where the processor is left to others. */
  readonly pause?: (workedMs: number) => Promise<void>;
  readonly onProgress?: (soFar: OptimiseResult) => void;
}

/** Packs looked at for the first time, their bytes before, and the bytes their chunks take now. */
export interface OptimiseResult {
  readonly packs: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

export interface ReadManifestOptions {
  /** Only entries at or below this path. */
  readonly under?: string;
}

export interface IngestSession {
  readonly id: string;
  /** Repository growth so far, bytes. */
  readonly storedBytes: number;
  /** Which of these are not stored yet (neither before nor in this session). */
  missing(digests: readonly Digest[]): Promise<boolean[]>;
  /**
   * Stores one chunk; a known one is a no-op. `near` names contents likely to resemble it (the same path's
   * previous version) with the offset in the file, for the delta search. Verifies the digest first.
   */
  addChunk(digest: Digest, bytes: Uint8Array, near?: NearHint): Promise<void>;
  /**
   * Stores one chunk that came without a name worth anything: it is hashed, once, and its digest comes back. `admit` hears
   * of it first: it refuses by throwing, and answers whether there is anything to store.
   */
  addBytes(bytes: Uint8Array, admit: (digest: Digest) => boolean, form?: SentForm): Promise<Digest>;
  /**
   * Stores chunks that come compressed together, and keeps the frame as it came where all of them are new. It is decoded
   * once, and the chunks are named by their SHA-256; `admit` hears of them before anything is stored, and refuses by
   * throwing. INPUT_INVALID when it is damaged, or not what it says: then nothing of it is stored.
   */
  addFrame(frame: MadeFrame, admit: (chunks: readonly ChunkRef[]) => void): Promise<void>;
  /** Cuts a stream into chunks and stores them. The only caller of the chunker on the appliance. */
  addStream(source: AsyncIterable<Uint8Array>, near?: Omit<NearHint, 'offset'>): Promise<ContentRef>;
  /**
   * Stores a content whose recipe is known (an agent's upload): slices `source` by `content.chunks`,
   * verifies every chunk and the whole.
   */
  addContent(
    content: ContentRef,
    source: AsyncIterable<Uint8Array>,
    near?: Omit<NearHint, 'offset'>,
  ): Promise<void>;
  /** Random access to a content already stored or stored in this session: the base of an incoming delta. */
  openContent(content: ContentRef): RandomReader;
  /**
   * Takes entries in any order, sorts them, writes pages; returns the manifest. Call once. With `sorted` they are in
   * manifest order as they come, which is checked: IMAGE_INVALID.
   */
  writeManifest(
    entries: AsyncIterable<Entry> | Iterable<Entry>,
    options?: { readonly sorted?: boolean },
  ): Promise<ManifestRef>;
  /** Makes everything added durable. Commit after this. */
  flush(): Promise<void>;
  /** Ends the session, committed or not; uncommitted data becomes garbage, never a reference. */
  close(): Promise<void>;
}

export interface NearHint {
  readonly contents: readonly ContentRef[];
  readonly offset: number;
}

/** Long work on the repository: how to stop it, and who hears of it. */
export interface UpkeepOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface CollectionOptions extends UpkeepOptions {
  /** Only says what would be removed. */
  readonly dryRun?: boolean;
}

/** What a collection found and did; with `dryRun` what it would do. Bytes as stored. */
export interface CollectionReport {
  readonly dryRun: boolean;
  readonly liveChunks: number;
  readonly liveBytes: number;
  /** Packs when it began. */
  readonly packs: number;
  readonly packBytes: number;
  readonly removedPacks: number;
  readonly freedBytes: number;
  /** Packs of which little lived, and the bytes of those that took their place. */
  readonly copiedPacks: number;
  readonly copiedBytes: number;
}

export interface VerifyOptions extends UpkeepOptions {
  /** Reads, decodes and digest-checks what is stored. */
  readonly readData?: boolean;
  /** With `readData`: of this share of the stored bytes (0 < percent ≤ 100). Successive runs get around to all. */
  readonly samplePercent?: number;
}

/** Where damage shows. */
export interface DamagedPlace {
  /** `web-1@<snapshot id>` or `web@3`. */
  readonly image: string;
  readonly server?: string;
  readonly snapshot?: string;
  readonly master?: string;
  readonly path: string;
  /** `file`: its content. `list`: the list of files from this path on. */
  readonly what: 'file' | 'list';
}

export interface DamagedPack {
  readonly pack: string;
  readonly why: string;
}

/** What committed images lack, as far as it is known. */
export interface DamageReport {
  /** Chunks and pages that images need and that are missing or damaged. */
  readonly damagedChunks: number;
  readonly damagedImages: readonly string[];
  /** Commit objects that cannot be read. */
  readonly damagedRecords: readonly { readonly name: string; readonly why: string }[];
  /** The first thousand; `placesTotal` counts all. */
  readonly places: readonly DamagedPlace[];
  readonly placesTotal: number;
}

export interface MendReport extends DamageReport {
  /** Packs whose index was damaged and of which everything readable lies in others now. */
  readonly salvagedPacks: number;
}

/** What came of asking one server's machine for everything it has. */
export interface RepairAnswer {
  readonly server: string;
  /** `absent`: its agent is away; it is asked again when it comes with its next snapshot. */
  readonly outcome: 'sent' | 'absent' | 'failed';
  readonly why?: string;
}

/** The result of a `repair` operation: what was repaired, and what images still lack. */
export interface RepairReport extends MendReport {
  readonly sound: boolean;
  readonly repairedChunks: number;
  readonly asked: readonly RepairAnswer[];
}

export interface VerifyReport extends DamageReport {
  readonly sound: boolean;
  readonly images: number;
  readonly packs: number;
  /** With `readData`: what was read. Bytes as stored. */
  readonly readPacks: number;
  readonly readChunks: number;
  readonly readBytes: number;
  /** The first thousand; `damagedPacksTotal` counts all. */
  readonly damagedPacks: readonly DamagedPack[];
  readonly damagedPacksTotal: number;
}

/** What is known about a chunk besides its bytes. */
export interface SentForm {
  /** A delta that the caller has decoded to these very bytes: kept as it is where the bounds allow, and costs no search. */
  readonly made?: MadeDelta;
  /** See {@link IngestSession.addChunk}. */
  readonly near?: NearHint;
}

/** Chunks behind one another, compressed as one, as a frame of a pack (docs/repository-format.md). */
export interface MadeFrame {
  /** `raw`: the chunks as they are. */
  readonly encoding: 'raw' | 'zstd';
  /** Taken over: the caller must not look at it again, since it may be freed. */
  readonly stored: Uint8Array;
  /** Length of each chunk, bytes; 16 MiB together at most. */
  readonly lengths: readonly number[];
}

/** A whole chunk in a frame. */
export interface FramedChunk {
  readonly digest: Digest;
  readonly bytes: number;
  readonly at: number;
  readonly place: number;
}

/** A frame of a pack and the chunks in it. It may hold those of other images than the one that is read. */
export interface StoredFrame {
  /** The same for the same frame. */
  readonly id: string;
  readonly encoding: 'raw' | 'zstd';
  /** Decoded, 16 MiB at most. */
  readonly rawBytes: number;
  readonly storedBytes: number;
  /** Lengths of all that it holds one behind another, whole chunks and deltas. */
  readonly lengths: readonly number[];
  /** Of what it tells anything, bases of its deltas too: whoever must not know of one of them must not be given the frame. */
  readonly digests: readonly Digest[];
  /** All its whole chunks in order: where each lies among the decoded bytes, and which of `lengths` is its. */
  readonly chunks: readonly FramedChunk[];
  /** The stored bytes, not checked, the caller's to free; undefined when they are gone or cut off. */
  read(): Promise<Uint8Array | undefined>;
  /** The decoded bytes, no digest checked, the caller's to free; undefined when they cannot be had. */
  open(): Promise<Uint8Array | undefined>;
}

/** A delta in a codec that has `signatures`, and what it copies from. */
export interface MadeDelta {
  readonly codec: string;
  readonly formatVersion: number;
  readonly payload: Uint8Array;
  /** Later deltas of this session may copy from the chunk, so it must not be many deltas deep itself. */
  readonly shared: boolean;
  /** Every chunk that the delta copies from: where it begins in the space its copies address. Ascending. */
  readonly bases: readonly { readonly digest: Digest; readonly at: number; readonly bytes: number }[];
}

/** What one server (its snapshots) or one master (its versions) needs. */
export interface OwnerUsage {
  readonly name: string;
  /** Snapshots, or versions. */
  readonly images: number;
  /** Sum of its images' contents, as long as they would be side by side. */
  readonly logicalBytes: number;
  /** Of distinct chunks that only it needs: their lengths, and what they take as stored. */
  readonly uniqueBytes: number;
  readonly ownBytes: number;
  /** Its share of what is stored: each chunk's bytes are split evenly among those who need it. */
  readonly shareBytes: number;
}

/** The repository as its images need it. Manifests count like contents; a delta's bases are needed with it. */
export interface RepositoryUsage {
  readonly snapshots: number;
  readonly masters: number;
  readonly logicalBytes: number;
  /** Of distinct chunks in use: their lengths, and what they take as stored. */
  readonly uniqueBytes: number;
  readonly storedBytes: number;
  readonly chunks: number;
  readonly packs: number;
  readonly packBytes: number;
  /** Of packs in which nothing is in use. */
  readonly deadBytes: number;
  /** What a collection would free: these, and the rest of packs of which little is in use. */
  readonly reclaimableBytes: number;
  /** Chunks in use by form: `whole`, or the codec's name. */
  readonly byForm: Readonly<
    Record<string, { readonly chunks: number; readonly logicalBytes: number; readonly storedBytes: number }>
  >;
  readonly byServer: readonly OwnerUsage[];
  readonly byMaster: readonly OwnerUsage[];
  /** Times an image could not be read: it is counted as far as it can. */
  readonly unreadableImages: number;
}

export interface RepositoryStats {
  readonly chunks: number;
  readonly logicalBytes: number;
  readonly storedBytes: number;
  readonly packs: number;
  /** Stored chunks and bytes by form: `whole`, or the codec's name. */
  readonly byForm: Readonly<Record<string, { chunks: number; logicalBytes: number; storedBytes: number }>>;
}

import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import type { RepositoryStats } from '../../contracts/repository.ts';
import type { Digest } from '../../domain/manifest.ts';
import { WaitingGarbage } from '../../waiting-garbage.ts';
import { ENCODINGS, type PackedFrame } from '../packs/pack-format.ts';
import { CheckedPacks } from './checked-packs.ts';
import {
  type ChunkRow,
  chunkOf,
  FIND,
  framesOf,
  HAS,
  INSERT,
  type IndexedChunk,
  inOrderOfDigests,
  type PackRow,
  PLACE,
  type PlaceRow,
  packPlaces,
  placeOf,
  prepareRows,
  RAISE_2,
  ROWS_OF_PACK,
  SCHEMA,
  SCHEMA_VERSION,
} from './chunk-rows.ts';
import { FormChanges } from './form-changes.ts';
import { statsOf } from './index-stats.ts';
import { LiveSet, type MarkedPlace, type PackLife } from './live-set.ts';
import { resolveDepths } from './resolve-depths.ts';
import { Suspects } from './suspects.ts';

export type { IndexedChunk } from './chunk-rows.ts';

/** Rows looked at between two turns of everything else. */
const SWEEP_ROWS = 2000;

/** A frame of copies, and the number of the pack they were copied from. */
export interface MovedFrame extends PackedFrame {
  readonly from: number;
  /** Set where its chunks were whole and are deltas here: whether nothing is made from this one. Asked at the last moment. */
  readonly mayChange?: (digest: Digest) => boolean;
}

/** A pack by its number in the index. */
export interface StoredPack {
  readonly id: number;
  readonly name: string;
  readonly bytes: number;
}

/**
 * `suspect`: a read of it failed, so it counts as missing for whoever offers it again. `condemned`: it is there, but
 * about to be collected, so it counts as missing too.
 */
export type ChunkStanding = 'missing' | 'stored' | 'suspect' | 'condemned';

/**
 * Digest → place of every stored chunk, in a SQLite file of the state directory. A cache over the packs' own
 * indexes: rows appear after their pack is durable, and all of it can be made again from the packs.
 */
export class ChunkIndex {
  /** Kept beside it: which packs' data was read when. */
  readonly checked: CheckedPacks;
  readonly forms: FormChanges;
  readonly suspects: Suspects;
  readonly #database: DatabaseSync;
  readonly #find: StatementSync;
  readonly #has: StatementSync;
  readonly #insert: StatementSync;
  readonly #place: StatementSync;
  readonly #drop: StatementSync;
  /** What the collection that runs now knows. */
  #live: LiveSet | undefined;

  /** Throws raw SQLite errors when the file is damaged or of another version: remove it and open again. */
  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    try {
      this.#prepareSchema();
      this.#find = prepareRows(this.#database, FIND);
      this.#has = this.#database.prepare(HAS);
      this.#insert = this.#database.prepare(INSERT);
      this.#place = this.#database.prepare(PLACE);
      this.#drop = this.#database.prepare('DELETE FROM chunks WHERE digest = ?');
      this.checked = new CheckedPacks(this.#database);
      this.forms = new FormChanges(this.#database);
      this.suspects = new Suspects(this.#database);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  #prepareSchema(): void {
    this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -4096');
    const version = this.#database.prepare('PRAGMA user_version').get()?.user_version;
    if (version === 0) this.#database.exec(`${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION}`);
    else if (version === 2) this.#database.exec(`${RAISE_2} PRAGMA user_version = ${SCHEMA_VERSION}`);
    else if (version !== SCHEMA_VERSION) throw new Error(`the chunk index has version ${version}`);
    const check = this.#database.prepare('PRAGMA quick_check(1)').get()?.quick_check;
    if (check !== 'ok') throw new Error(`the chunk index is damaged: ${check}`);
  }

  /** The repository this index was made for; undefined when new. */
  get repositoryId(): string | undefined {
    return this.#database.prepare(`SELECT value FROM meta WHERE key = 'repository'`).get()?.value as
      | string
      | undefined;
  }

  set repositoryId(id: string) {
    this.#database.prepare(`INSERT OR REPLACE INTO meta VALUES ('repository', ?)`).run(id);
  }

  find(digest: Digest): IndexedChunk | undefined {
    const row = this.#find.get(Buffer.from(digest, 'hex')) as unknown as ChunkRow | undefined;
    if (row === undefined) return undefined;
    const [pack, codec] = row;
    return this.#live?.verdict(digest, pack, codec !== null) === 'gone' ? undefined : chunkOf(row);
  }

  /** Like {@link find}, but only what new data may be made from. */
  findBase(digest: Digest): IndexedChunk | undefined {
    return this.standing(digest) === 'condemned' ? undefined : this.find(digest);
  }

  /** `bytes`: its length, where somebody says so: a chunk of another one is missing. */
  standing(digest: Digest, bytes?: number): ChunkStanding {
    const row = this.#has.get(Buffer.from(digest, 'hex'));
    if (row === undefined || row.state !== 'live') return 'missing';
    if (bytes !== undefined && row.bytes !== bytes) return 'missing';
    const verdict = this.#live?.verdict(digest, row.pack as number, row.delta === 1);
    if (verdict === 'gone') return 'missing';
    return row.suspect === 1 ? 'suspect' : (verdict ?? 'stored');
  }

  /** Brings a condemned chunk back, with what it is made from. False when it is too late. */
  revive(digest: Digest): boolean {
    return this.#live?.revive(digest) ?? false;
  }

  /** Begins judging the packs there are now. End it; one at a time. */
  beginCollection(): LiveSet {
    if (this.#live !== undefined) throw new Error('a collection is under way');
    const unreadable = new Set(this.damagedPacks());
    const packs = this.packList().map(
      (pack): PackLife => ({
        ...pack,
        readable: !unreadable.has(pack.name),
        liveChunks: 0,
        liveBytes: 0,
        state: 'kept',
      }),
    );
    this.#live = new LiveSet(packs, (digest) => this.placeOf(digest));
    return this.#live;
  }

  /**
   * Forgets the packs that are gone and the deltas that may have lost a base, in many small steps, and lifts every
   * other judgement.
   */
  async endCollection(): Promise<void> {
    try {
      const gone = [...(this.#live?.packs ?? [])].filter((pack) => pack.state === 'gone');
      if (gone.length > 0) await this.#sweep();
      const forget = this.#database.prepare('DELETE FROM packs WHERE id = ?');
      this.#transaction(() => {
        for (const pack of gone) forget.run(pack.id);
        this.#database.exec(`UPDATE packs SET state = 'live' WHERE state = 'condemned'`);
      });
      this.checked.tidy();
    } finally {
      this.#live = undefined;
    }
  }

  async #sweep(): Promise<void> {
    const some = this.#database.prepare(
      `SELECT digest, pack, bases IS NOT NULL AS delta FROM chunks WHERE digest > ? ORDER BY digest LIMIT ${SWEEP_ROWS}`,
    );
    const forget = this.#database.prepare('DELETE FROM chunks WHERE digest = ?');
    const garbage = new WaitingGarbage();
    for (let last: Uint8Array | undefined = new Uint8Array(0); last !== undefined; ) {
      const from: Uint8Array = last;
      last = this.#transaction(() => {
        const rows = some.all(from);
        for (const { digest, pack, delta } of rows) {
          const hex = Buffer.from(digest as Uint8Array).toString('hex');
          if (this.#live?.verdict(hex, pack as number, delta === 1)) forget.run(digest as Uint8Array);
        }
        return rows.at(-1)?.digest as Uint8Array | undefined;
      });
      garbage.check();
      await setImmediate();
    }
  }

  /** Tells a later opening that this pack is gone on purpose. */
  expectGone({ id }: PackLife): void {
    this.#database.prepare(`UPDATE packs SET state = 'condemned' WHERE id = ?`).run(id);
  }

  /** After {@link expectGone} and a crash: forgets those of them that are gone; the others are packs like any. */
  settleCondemned(present: ReadonlyMap<string, number>): void {
    const rows = this.#database.prepare(`SELECT id, name FROM packs WHERE state = 'condemned'`).all();
    if (rows.length === 0) return;
    this.#database.exec(`UPDATE packs SET state = 'live' WHERE state = 'condemned'`);
    const gone = rows.filter((row) => !present.has(row.name as string)).map((row) => row.id as number);
    if (gone.length === 0) return;
    this.#forgetPacks(gone.join());
    this.resolveDepths();
  }

  /** Forgets a pack of chunks that no other is made from. */
  forgetPack(name: string): void {
    const row = this.#database.prepare('SELECT id FROM packs WHERE name = ?').get(name);
    if (row !== undefined) this.#forgetPacks(`${row.id}`);
  }

  #forgetPacks(ids: string): void {
    this.#transaction(() =>
      this.#database.exec(
        `DELETE FROM chunks WHERE pack IN (${ids}); DELETE FROM packs WHERE id IN (${ids})`,
      ),
    );
  }

  /** What {@link LiveSet} and the counting of usage need of a chunk. */
  placeOf(digest: Digest): MarkedPlace | undefined {
    const row = this.#place.get(Buffer.from(digest, 'hex')) as unknown as PlaceRow | undefined;
    return row === undefined ? undefined : placeOf(row);
  }

  /** Is it stored, with everything it is made from, and no read of it has failed? */
  isSound(digest: Digest): boolean {
    return this.#isSound(digest, new Set());
  }

  /** `seen`: looked at already, as deltas that share bases would have it again and again. */
  #isSound(digest: Digest, seen: Set<Digest>): boolean {
    if (seen.has(digest)) return true;
    seen.add(digest);
    const row = this.#place.get(Buffer.from(digest, 'hex')) as unknown as PlaceRow | undefined;
    if (row === undefined || row.suspect === 1 || row.pack_state !== 'live') return false;
    if (this.#live?.verdict(digest, row.pack, row.bases !== null) !== undefined) return false;
    return placeOf(row).bases.every((base) => this.#isSound(base, seen));
  }

  /** The frames of a pack as this index has them: for a pack whose own index is damaged. */
  framesOf(name: string): PackedFrame[] {
    return framesOf(prepareRows(this.#database, ROWS_OF_PACK).all(name) as unknown as PackRow[]);
  }

  /** Adds a durable pack and its chunks, in one transaction. */
  addPack(name: string, bytes: number, frames: readonly PackedFrame[]): void {
    this.#transaction(() => {
      const pack = this.#addPack(name, bytes);
      for (const { frame, chunk } of inOrderOfDigests(frames)) this.#insertChunk(pack, frame, chunk);
    });
    this.forms.note(frames);
    if (this.#live === undefined) return;
    // What new deltas are made from must stay, whoever commits them when.
    for (const { chunks } of frames) {
      for (const { delta } of chunks) for (const base of delta?.bases ?? []) this.#live.mark(base);
    }
  }

  /**
   * Adds a durable pack of copies: each chunk that still lies where it was copied from lies there from now on.
   * Returns the digests of those that moved. While a collection runs none changes its form: what it has marked would not
   * be all that the chunk needs.
   */
  movePack(name: string, bytes: number, frames: readonly MovedFrame[]): Set<Digest> {
    const move = this.#database.prepare(
      `UPDATE chunks SET pack = ?, frame_offset = ?, frame_stored = ?, frame_raw = ?, encoding = ?, at = ?
       WHERE digest = ? AND pack = ?`,
    );
    const moved = new Set<Digest>();
    this.#transaction(() => {
      const pack = this.#addPack(name, bytes);
      for (const { frame, chunk } of inOrderOfDigests(frames)) {
        const { offset, storedBytes, rawBytes, from, mayChange } = frame;
        const { digest, at } = chunk;
        if (mayChange === undefined) {
          const encoding = ENCODINGS.indexOf(frame.encoding);
          const key = Buffer.from(digest, 'hex');
          const { changes } = move.run(pack, offset, storedBytes, rawBytes, encoding, at, key, from);
          if (changes > 0) moved.add(digest);
        } else if (this.#live === undefined && mayChange(digest)) {
          if (this.forms.toDelta(chunk, { pack, frame, from })) moved.add(digest);
        }
      }
    });
    return moved;
  }

  #addPack(name: string, bytes: number): number | bigint {
    const add = this.#database.prepare(
      `INSERT OR REPLACE INTO packs (name, bytes, state) VALUES (?, ?, 'live')`,
    );
    return add.run(name, bytes).lastInsertRowid;
  }

  #insertChunk(pack: number | bigint, frame: PackedFrame, chunk: PackedFrame['chunks'][number]): void {
    if (this.#live !== undefined && this.#isDoomed(chunk.digest))
      this.#drop.run(Buffer.from(chunk.digest, 'hex'));
    this.#insert.run(
      Buffer.from(chunk.digest, 'hex'),
      chunk.bytes,
      pack,
      frame.offset,
      frame.storedBytes,
      frame.rawBytes,
      ENCODINGS.indexOf(frame.encoding),
      chunk.at,
      chunk.payloadBytes,
      chunk.delta?.depth ?? 0,
      chunk.delta?.codec ?? null,
      chunk.delta?.formatVersion ?? null,
      chunk.delta === undefined ? null : Buffer.from(chunk.delta.bases.join(''), 'hex'),
      chunk.delta?.places === undefined ? null : packPlaces(chunk.delta.places),
    );
  }

  /** Is what is stored of it about to go? Then whatever comes takes its place. */
  #isDoomed(digest: Digest): boolean {
    const row = this.#has.get(Buffer.from(digest, 'hex'));
    return (
      row !== undefined && this.#live?.verdict(digest, row.pack as number, row.delta === 1) !== undefined
    );
  }

  /** Remembers a pack that cannot be read; its chunks count as missing. */
  addDamagedPack(name: string, bytes: number): void {
    const add = `INSERT OR REPLACE INTO packs (name, bytes, state) VALUES (?, ?, 'damaged')`;
    this.#database.prepare(add).run(name, bytes);
  }

  /** Name → length of every readable pack. */
  packs(): Map<string, number> {
    const rows = this.#database.prepare(`SELECT name, bytes FROM packs WHERE state <> 'damaged'`).all();
    return new Map(rows.map((row) => [row.name as string, row.bytes as number]));
  }

  /** All of them, readable or not, in the order in which they were stored. */
  packList(): StoredPack[] {
    const rows = this.#database.prepare('SELECT id, name, bytes FROM packs ORDER BY id');
    return rows.all() as unknown as StoredPack[];
  }

  /** Chunks that are looked up in this pack. */
  chunksIn(pack: number): Set<Digest> {
    const rows = this.#database.prepare('SELECT digest FROM chunks WHERE pack = ?').all(pack);
    return new Set(rows.map((row) => Buffer.from(row.digest as Uint8Array).toString('hex')));
  }

  damagedPacks(): string[] {
    const rows = this.#database.prepare(`SELECT name FROM packs WHERE state = 'damaged' ORDER BY name`).all();
    return rows.map((row) => row.name as string);
  }

  clear(): void {
    this.#transaction(() => this.#database.exec('DELETE FROM chunks; DELETE FROM packs'));
  }

  /**
   * Forgets deltas whose bases are not there, and counts depths anew: after a rebuild from packs of which
   * some were lost, what is left must resolve without a circle. Returns how many were forgotten.
   */
  resolveDepths(): number {
    return this.#transaction(() => resolveDepths(this.#database));
  }

  stats(): RepositoryStats {
    return statsOf(this.#database);
  }

  close(): void {
    this.#database.close();
  }

  #transaction<T>(run: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = run();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }
}

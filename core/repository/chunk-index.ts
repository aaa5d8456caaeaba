import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { RepositoryStats } from '../contracts/repository.ts';
import type { Digest } from '../domain/manifest.ts';
import type { DeltaForm, FramePlace, PackedFrame } from './pack-format.ts';

const SCHEMA_VERSION = 1;
const SCHEMA = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE packs (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  bytes INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('live', 'damaged', 'condemned'))
) STRICT;
CREATE TABLE chunks (
  digest BLOB PRIMARY KEY,
  bytes INTEGER NOT NULL,
  pack INTEGER NOT NULL,
  frame_offset INTEGER NOT NULL,
  frame_stored INTEGER NOT NULL,
  frame_raw INTEGER NOT NULL,
  zstd INTEGER NOT NULL,
  at INTEGER NOT NULL,
  payload INTEGER NOT NULL,
  depth INTEGER NOT NULL,
  codec TEXT,
  version INTEGER,
  bases BLOB,
  suspect INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
`;

const FIND = `SELECT c.*, p.name AS pack_name FROM chunks c JOIN packs p ON p.id = c.pack WHERE c.digest = ?`;
const HAS = `SELECT c.suspect AS suspect, p.state AS state FROM chunks c JOIN packs p ON p.id = c.pack WHERE c.digest = ?`;
/** Of two stored forms the one with fewer deltas in a row stays: see docs/repository-format.md, "Depth". */
const INSERT = `
INSERT INTO chunks (digest, bytes, pack, frame_offset, frame_stored, frame_raw, zstd, at, payload, depth, codec, version, bases)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (digest) DO UPDATE SET
  pack = excluded.pack, frame_offset = excluded.frame_offset, frame_stored = excluded.frame_stored,
  frame_raw = excluded.frame_raw, zstd = excluded.zstd, at = excluded.at, payload = excluded.payload,
  depth = excluded.depth, codec = excluded.codec, version = excluded.version, bases = excluded.bases, suspect = 0
WHERE excluded.depth < chunks.depth OR (chunks.suspect = 1 AND excluded.depth <= chunks.depth)`;
const UNRESOLVED_DEPTH = 255;

/** Where a chunk lies, and in which form. */
export interface IndexedChunk {
  readonly bytes: number;
  readonly pack: string;
  readonly frame: FramePlace;
  readonly at: number;
  readonly payloadBytes: number;
  readonly delta?: DeltaForm;
}

/** `suspect`: a read of it failed, so it counts as missing for whoever offers it again. */
export type ChunkStanding = 'missing' | 'stored' | 'suspect';

interface ChunkRow {
  readonly bytes: number;
  readonly pack_name: string;
  readonly frame_offset: number;
  readonly frame_stored: number;
  readonly frame_raw: number;
  readonly zstd: number;
  readonly at: number;
  readonly payload: number;
  readonly depth: number;
  readonly codec: string | null;
  readonly version: number | null;
  readonly bases: Uint8Array | null;
}

/**
 * Digest → place of every stored chunk, in a SQLite file of the state directory. A cache over the packs' own
 * indexes: rows appear after their pack is durable, and all of it can be made again from the packs.
 */
export class ChunkIndex {
  readonly #database: DatabaseSync;
  readonly #find: StatementSync;
  readonly #has: StatementSync;
  readonly #insert: StatementSync;

  /** Throws raw SQLite errors when the file is damaged or of another version: remove it and open again. */
  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    try {
      this.#prepareSchema();
      this.#find = this.#database.prepare(FIND);
      this.#has = this.#database.prepare(HAS);
      this.#insert = this.#database.prepare(INSERT);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  #prepareSchema(): void {
    this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384');
    const version = this.#database.prepare('PRAGMA user_version').get()?.user_version;
    if (version === 0) this.#database.exec(`${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION}`);
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
    return row === undefined ? undefined : chunkOf(row);
  }

  standing(digest: Digest): ChunkStanding {
    const row = this.#has.get(Buffer.from(digest, 'hex'));
    if (row === undefined || row.state !== 'live') return 'missing';
    return row.suspect === 1 ? 'suspect' : 'stored';
  }

  /** From now on this chunk counts as missing, until somebody stores it again. */
  markSuspect(digest: Digest): void {
    this.#database.prepare('UPDATE chunks SET suspect = 1 WHERE digest = ?').run(Buffer.from(digest, 'hex'));
  }

  /** Adds a durable pack and its chunks, in one transaction. */
  addPack(name: string, bytes: number, frames: readonly PackedFrame[]): void {
    this.#transaction(() => {
      const add = this.#database.prepare(
        `INSERT OR REPLACE INTO packs (name, bytes, state) VALUES (?, ?, 'live')`,
      );
      const pack = add.run(name, bytes).lastInsertRowid;
      for (const frame of frames) {
        for (const chunk of frame.chunks) this.#insertChunk(pack, frame, chunk);
      }
    });
  }

  #insertChunk(pack: number | bigint, frame: PackedFrame, chunk: PackedFrame['chunks'][number]): void {
    this.#insert.run(
      Buffer.from(chunk.digest, 'hex'),
      chunk.bytes,
      pack,
      frame.offset,
      frame.storedBytes,
      frame.rawBytes,
      frame.encoding === 'zstd' ? 1 : 0,
      chunk.at,
      chunk.payloadBytes,
      chunk.delta?.depth ?? 0,
      chunk.delta?.codec ?? null,
      chunk.delta?.formatVersion ?? null,
      chunk.delta === undefined ? null : Buffer.from(chunk.delta.bases.join(''), 'hex'),
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
    return this.#transaction(() => {
      this.#database.exec(`UPDATE chunks SET depth = ${UNRESOLVED_DEPTH} WHERE bases IS NOT NULL`);
      for (let depth = 1; depth < UNRESOLVED_DEPTH && this.#resolveAt(depth) > 0; depth++);
      const drop = this.#database.prepare('DELETE FROM chunks WHERE depth = ?');
      return Number(drop.run(UNRESOLVED_DEPTH).changes);
    });
  }

  #resolveAt(depth: number): number {
    const depthOf = this.#database.prepare('SELECT depth FROM chunks WHERE digest = ?');
    const unresolved = this.#database.prepare('SELECT digest, bases FROM chunks WHERE depth = ?');
    const ready: Uint8Array[] = [];
    for (const row of unresolved.iterate(UNRESOLVED_DEPTH)) {
      const bases = splitDigests(row.bases as Uint8Array);
      const known = bases.every((base) => Number(depthOf.get(base)?.depth ?? UNRESOLVED_DEPTH) < depth);
      if (known) ready.push(row.digest as Uint8Array);
    }
    const set = this.#database.prepare('UPDATE chunks SET depth = ? WHERE digest = ?');
    for (const digest of ready) set.run(depth, digest);
    return ready.length;
  }

  stats(): RepositoryStats {
    const packs = this.#database
      .prepare('SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes FROM packs')
      .get();
    const forms = this.#database
      .prepare(
        `SELECT coalesce(codec, 'whole') AS form, count(*) AS chunks, sum(bytes) AS logical,
           sum(CASE WHEN frame_raw = 0 THEN 0 ELSE 1.0 * frame_stored * payload / frame_raw END) AS stored
         FROM chunks GROUP BY 1 ORDER BY 1`,
      )
      .all();
    const byForm = forms.map(
      (row) =>
        [
          row.form as string,
          {
            chunks: row.chunks as number,
            logicalBytes: row.logical as number,
            storedBytes: Math.round(row.stored as number),
          },
        ] as const,
    );
    return {
      chunks: byForm.reduce((sum, [, form]) => sum + form.chunks, 0),
      logicalBytes: byForm.reduce((sum, [, form]) => sum + form.logicalBytes, 0),
      storedBytes: packs?.bytes as number,
      packs: packs?.n as number,
      byForm: Object.fromEntries(byForm),
    };
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

function chunkOf(row: ChunkRow): IndexedChunk {
  const chunk: IndexedChunk = {
    bytes: row.bytes,
    pack: row.pack_name,
    frame: {
      offset: row.frame_offset,
      storedBytes: row.frame_stored,
      rawBytes: row.frame_raw,
      encoding: row.zstd === 1 ? 'zstd' : 'raw',
    },
    at: row.at,
    payloadBytes: row.payload,
  };
  if (row.codec === null || row.bases === null) return chunk;
  const bases = splitDigests(row.bases).map((base) => base.toString('hex'));
  return {
    ...chunk,
    delta: { codec: row.codec, formatVersion: row.version ?? 0, depth: row.depth, bases },
  };
}

function splitDigests(joined: Uint8Array): Buffer[] {
  const bytes = Buffer.from(joined.buffer, joined.byteOffset, joined.byteLength);
  return Array.from({ length: bytes.length / 32 }, (_, at) => bytes.subarray(at * 32, at * 32 + 32));
}

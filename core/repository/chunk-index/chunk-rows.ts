/** The chunk index as SQLite sees it: schema, statements, rows. */

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Digest } from '../../domain/manifest.ts';
import {
  type DeltaForm,
  ENCODINGS,
  type FrameEncoding,
  type FramePlace,
  type PackedChunk,
  type PackedFrame,
} from '../packs/pack-format.ts';
import type { MarkedPlace } from './live-set.ts';

export const SCHEMA_VERSION = 3;
/** What version 2 calls otherwise: its numbers are the same. */
export const RAISE_2 = 'ALTER TABLE chunks RENAME COLUMN zstd TO encoding;';
export const SCHEMA = `
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
  encoding INTEGER NOT NULL,
  at INTEGER NOT NULL,
  payload INTEGER NOT NULL,
  depth INTEGER NOT NULL,
  codec TEXT,
  version INTEGER,
  bases BLOB,
  places BLOB,
  suspect INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
`;

/** What a {@link ChunkRow} holds. Texts instead of blobs: each of these would come as an ArrayBuffer of its own. */
const ROW = `c.pack, c.codec, p.name, c.bytes, c.frame_offset, c.frame_stored, c.frame_raw, c.encoding, c.at, c.payload, c.depth, c.version,
lower(hex(c.bases)), hex(c.places)`;
export const FIND = `SELECT ${ROW} FROM chunks c JOIN packs p ON p.id = c.pack WHERE c.digest = ?`;
export const HAS = `SELECT c.bytes AS bytes, c.suspect AS suspect, c.pack AS pack, c.bases IS NOT NULL AS delta, p.state AS state FROM chunks c JOIN packs p ON p.id = c.pack WHERE c.digest = ?`;
/** Of two stored forms the one with fewer deltas in a row stays: see docs/repository-format.md, "Depth". */
export const INSERT = `
INSERT INTO chunks (digest, bytes, pack, frame_offset, frame_stored, frame_raw, encoding, at, payload, depth, codec, version, bases, places)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (digest) DO UPDATE SET
  bytes = excluded.bytes, pack = excluded.pack, frame_offset = excluded.frame_offset, frame_stored = excluded.frame_stored,
  frame_raw = excluded.frame_raw, encoding = excluded.encoding, at = excluded.at, payload = excluded.payload,
  depth = excluded.depth, codec = excluded.codec, version = excluded.version, bases = excluded.bases,
  places = excluded.places, suspect = 0
WHERE excluded.depth < chunks.depth OR (chunks.suspect = 1 AND excluded.depth <= chunks.depth)`;
export const PLACE = `SELECT c.bytes, c.codec, c.pack, c.suspect, c.frame_stored, c.frame_raw, c.payload, c.bases, p.state AS pack_state
FROM chunks c JOIN packs p ON p.id = c.pack WHERE c.digest = ?`;
export const UNRESOLVED_DEPTH = 255;
export const ROWS_OF_PACK = `SELECT ${ROW}, lower(hex(c.digest)) FROM chunks c JOIN packs p ON p.id = c.pack
WHERE p.name = ? ORDER BY c.frame_offset, c.at`;
/** Where a chunk lies, and in which form. */
export interface IndexedChunk {
  readonly bytes: number;
  readonly pack: string;
  readonly frame: FramePlace;
  readonly at: number;
  readonly payloadBytes: number;
  readonly delta?: DeltaForm;
}

/** What {@link FIND} gives where arrays are returned, which cost two thirds of objects; digests and places in hex, empty where there are none. */
export type ChunkRow = readonly [
  pack: number,
  codec: string | null,
  packName: string,
  bytes: number,
  offset: number,
  storedBytes: number,
  rawBytes: number,
  encoding: number,
  at: number,
  payloadBytes: number,
  depth: number,
  formatVersion: number | null,
  bases: string,
  places: string,
];

/** A statement that gives rows as arrays, such as {@link FIND} and {@link ROWS_OF_PACK}. */
export function prepareRows(database: DatabaseSync, sql: string): StatementSync {
  const statement = database.prepare(sql);
  statement.setReturnArrays(true);
  return statement;
}

/** Where what is said of a delta begins, and where the digest of a {@link PackRow} is. */
const [FORM_AT, DIGEST_AT] = [10, 14] as const;

/** What {@link ROWS_OF_PACK} gives, as arrays as well. */
export type PackRow = readonly [...ChunkRow, digest: Digest];

/** What {@link PLACE} gives. */
export interface PlaceRow {
  readonly bytes: number;
  readonly codec: string | null;
  readonly pack: number;
  readonly suspect: number;
  readonly frame_stored: number;
  readonly frame_raw: number;
  readonly payload: number;
  readonly bases: Uint8Array | null;
  readonly pack_state: string;
}

export function chunkOf(row: ChunkRow | PackRow): IndexedChunk {
  const [, codec, pack, bytes, offset, storedBytes, rawBytes, encoding, at, payloadBytes] = row;
  const frame = { offset, storedBytes, rawBytes, encoding: ENCODINGS[encoding] as FrameEncoding };
  const chunk = { bytes, pack, frame, at, payloadBytes };
  return codec === null ? chunk : { ...chunk, delta: deltaOf(codec, row) };
}

function deltaOf(codec: string, row: ChunkRow | PackRow): DeltaForm {
  const [depth, formatVersion, bases, places] = row.slice(FORM_AT) as [number, number | null, string, string];
  const form = { codec, formatVersion: formatVersion ?? 0, depth, bases: digestsIn(bases) };
  return places === '' ? form : { ...form, places: unpackPlaces(places) };
}

/** Pairs of 64-bit floats: offset and length. */
export function packPlaces(places: NonNullable<DeltaForm['places']>): Uint8Array {
  return new Uint8Array(Float64Array.from(places.flatMap(({ at, bytes }) => [at, bytes])).buffer);
}

/** What {@link packPlaces} made, in hex. */
function unpackPlaces(packed: string): NonNullable<DeltaForm['places']> {
  const numbers = Buffer.from(packed, 'hex');
  return Array.from({ length: numbers.length / 16 }, (_, nth) => ({
    at: numbers.readDoubleLE(16 * nth),
    bytes: numbers.readDoubleLE(16 * nth + 8),
  }));
}

/** Of digests in hex, one behind another. */
function digestsIn(joined: string): Digest[] {
  return Array.from({ length: joined.length / 64 }, (_, nth) => joined.slice(64 * nth, 64 * nth + 64));
}

export function splitDigests(joined: Uint8Array): Buffer[] {
  const bytes = Buffer.from(joined.buffer, joined.byteOffset, joined.byteLength);
  return Array.from({ length: bytes.length / 32 }, (_, at) => bytes.subarray(at * 32, at * 32 + 32));
}

export function placeOf(row: PlaceRow): MarkedPlace {
  return {
    bytes: row.bytes,
    form: row.codec ?? 'whole',
    pack: row.pack,
    suspect: row.suspect === 1,
    storedBytes: row.frame_raw === 0 ? 0 : (row.frame_stored * row.payload) / row.frame_raw,
    bases: row.bases === null ? [] : splitDigests(row.bases).map((base) => base.toString('hex')),
  };
}

/** Rows in order of frame and place, as frames. Parts of a frame that no row is of are left out. */
export function framesOf(rows: readonly PackRow[]): PackedFrame[] {
  const frames: (FramePlace & { readonly chunks: PackedChunk[] })[] = [];
  for (const row of rows) {
    const { frame, bytes, at, payloadBytes, delta } = chunkOf(row);
    if (frames.at(-1)?.offset !== frame.offset) frames.push({ ...frame, chunks: [] });
    const digest = row[DIGEST_AT];
    frames
      .at(-1)
      ?.chunks.push({ digest, bytes, at, payloadBytes, ...(delta === undefined ? {} : { delta }) });
  }
  return frames;
}

/**
 * The chunks of these frames in the order in which the table keeps them: each of its pages is then written once, where a
 * pack's own order would come back to most of them, or need all of them in memory at a time.
 */
export function inOrderOfDigests<F extends PackedFrame>(
  frames: readonly F[],
): readonly { readonly frame: F; readonly chunk: PackedChunk }[] {
  return frames
    .flatMap((frame) => frame.chunks.map((chunk) => ({ frame, chunk })))
    .sort((a, b) => (a.chunk.digest < b.chunk.digest ? -1 : a.chunk.digest > b.chunk.digest ? 1 : 0));
}

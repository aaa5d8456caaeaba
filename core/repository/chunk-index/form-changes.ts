/**
 * The one change of form there is: a whole chunk becomes a delta of depth 1. Only a chunk that nothing is made from may, so
 * that no depth changes but its own, and only against whole ones, which therefore stay whole.
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import { DigestSet } from '../../domain/digest-set.ts';
import type { Digest } from '../../domain/manifest.ts';
import { ENCODINGS, type FramePlace, type PackedChunk, type PackedFrame } from '../packs/pack-format.ts';
import { splitDigests } from './chunk-rows.ts';

/** Rows looked at between two turns of everything else. */
const STEP_ROWS = 2000;

const CHANGE = `
UPDATE chunks SET pack = ?, frame_offset = ?, frame_stored = ?, frame_raw = ?, encoding = ?, at = ?,
  payload = ?, depth = 1, codec = ?, version = ?, bases = ?
WHERE digest = ? AND pack = ? AND bases IS NULL AND suspect = 0`;
const IS_WHOLE = `
SELECT 1 FROM chunks c JOIN packs p ON p.id = c.pack
WHERE c.digest = ? AND c.bases IS NULL AND c.suspect = 0 AND p.state = 'live'`;

/** What stored deltas are made from, known until it is ended. */
export interface BaseWatch {
  has(digest: Digest): boolean;
  end(): void;
}

/** Where a chunk is to lie, and where it must still lie: packs by their number in the index. */
export interface ChangedPlace {
  readonly pack: number | bigint;
  readonly frame: FramePlace;
  readonly from: number;
}

export class FormChanges {
  readonly #database: DatabaseSync;
  readonly #change: StatementSync;
  readonly #isWhole: StatementSync;
  readonly #watches = new Set<DigestSet>();

  /** `database`: the chunk index's own. */
  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#change = database.prepare(CHANGE);
    this.#isWhole = database.prepare(IS_WHOLE);
  }

  /** Looks through all rows, in small steps; what is stored meanwhile and afterwards is known as well. */
  async watchBases(): Promise<BaseWatch> {
    const bases = new DigestSet();
    this.#watches.add(bases);
    const some = this.#database.prepare(
      `SELECT digest, bases FROM chunks WHERE digest > ? ORDER BY digest LIMIT ${STEP_ROWS}`,
    );
    let last: Uint8Array | undefined = new Uint8Array(0);
    while (last !== undefined) {
      const rows = some.all(last);
      for (const row of rows) {
        if (row.bases === null) continue;
        for (const base of splitDigests(row.bases as Uint8Array)) bases.add(base.toString('hex'));
      }
      last = rows.at(-1)?.digest as Uint8Array | undefined;
      await setImmediate();
    }
    return { has: (digest) => bases.has(digest), end: () => void this.#watches.delete(bases) };
  }

  /** Deltas that are stored now. */
  note(frames: readonly PackedFrame[]): void {
    if (this.#watches.size === 0) return;
    for (const { chunks } of frames) {
      for (const { delta } of chunks) this.#note(delta?.bases ?? []);
    }
  }

  #note(digests: readonly Digest[]): void {
    for (const bases of this.#watches) for (const digest of digests) bases.add(digest);
  }

  /**
   * Has this chunk be read as a delta from now on. False, and nothing changes, unless it is whole where it was and all its
   * bases are whole and sound now. Within the caller's transaction, who knows that nothing is made from the chunk.
   */
  toDelta(chunk: PackedChunk, { pack, frame, from }: ChangedPlace): boolean {
    const { digest, at, payloadBytes, delta } = chunk;
    if (delta === undefined || delta.depth !== 1 || delta.places !== undefined) return false;
    const isWhole = (base: Digest) => this.#isWhole.get(Buffer.from(base, 'hex')) !== undefined;
    if (!delta.bases.every((base) => base !== digest && isWhole(base))) return false;
    const { changes } = this.#change.run(
      pack,
      frame.offset,
      frame.storedBytes,
      frame.rawBytes,
      ENCODINGS.indexOf(frame.encoding),
      at,
      payloadBytes,
      delta.codec,
      delta.formatVersion,
      Buffer.from(delta.bases.join(''), 'hex'),
      Buffer.from(digest, 'hex'),
      from,
    );
    if (changes > 0) this.#note(delta.bases);
    return changes > 0;
  }
}

import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Digest } from '../../domain/manifest.ts';
import { superFeatures } from './resemblance.ts';

/** Smaller chunks share a frame with their neighbours, which finds most of what they repeat. */
const MIN_BYTES = 64 * 1024;
/** Super-features kept; the oldest go first. */
const MAX_ROWS = 1_000_000;
const PRUNE_EVERY = 10_000;

/**
 * Which stored chunk resembles another: for content whose path gives no base, such as the tools of one package that
 * contain the same library. A cache in a SQLite file of the state directory: what it names may be gone by now, and
 * when it is lost only fewer bases are found. Throws raw SQLite errors when the file is damaged.
 */
export class SimilarChunks {
  readonly #database: DatabaseSync;
  readonly #find: StatementSync;
  readonly #put: StatementSync;
  #added = 0;

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    this.#database.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
       CREATE TABLE IF NOT EXISTS features (feature INTEGER PRIMARY KEY, digest BLOB NOT NULL, age INTEGER NOT NULL) STRICT;
       CREATE INDEX IF NOT EXISTS by_age ON features (age)`,
    );
    this.#find = this.#database.prepare('SELECT digest FROM features WHERE feature = ?');
    this.#put = this.#database.prepare(
      `INSERT OR REPLACE INTO features VALUES (?, ?, (SELECT coalesce(max(age), 0) + 1 FROM features))`,
    );
  }

  /** What to look for and to remember; undefined for chunks that are not worth it. */
  featuresOf(bytes: Uint8Array): readonly number[] | undefined {
    if (bytes.length < MIN_BYTES) return undefined;
    const features = superFeatures(bytes);
    return features.length === 0 ? undefined : features;
  }

  /** The chunk that shares the most super-features. */
  find(features: readonly number[]): Digest | undefined {
    const votes = new Map<Digest, number>();
    for (const feature of features) {
      const row = this.#find.get(feature);
      if (row === undefined) continue;
      const digest = Buffer.from(row.digest as Uint8Array).toString('hex');
      votes.set(digest, (votes.get(digest) ?? 0) + 1);
    }
    return [...votes].sort((a, b) => b[1] - a[1])[0]?.[0];
  }

  /** A chunk stored whole takes the place of earlier ones of the same features. */
  add(features: readonly number[], digest: Digest): void {
    for (const feature of features) this.#put.run(feature, Buffer.from(digest, 'hex'));
    this.#added += features.length;
    if (this.#added < PRUNE_EVERY) return;
    this.#added = 0;
    this.#database
      .prepare('DELETE FROM features WHERE age <= (SELECT max(age) FROM features) - ?')
      .run(MAX_ROWS);
  }

  close(): void {
    this.#database.close();
  }
}

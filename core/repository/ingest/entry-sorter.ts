import { rm } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import type { Entry } from '../../domain/manifest.ts';
import { decodePage, encodePage } from '../../domain/pages.ts';
import { comparePaths, encodeName } from '../../domain/path.ts';
import { OverdubError } from '../../errors.ts';

/** Entries sorted in memory; more go through a temporary file. */
const MEMORY_ENTRIES = 20_000;
const BATCH = 2_000;

/**
 * Entries in manifest order, whatever order they come in. Memory stays flat: beyond twenty thousand they are
 * sorted in a SQLite file at `path`, which is removed at the end. IMAGE_INVALID when two have one path.
 */
export async function* sortEntries(
  entries: AsyncIterable<Entry> | Iterable<Entry>,
  path: string,
): AsyncGenerator<Entry> {
  let batch: Entry[] = [];
  let spill: SpillFile | undefined;
  try {
    for await (const entry of entries) {
      batch.push(entry);
      if (batch.length < (spill === undefined ? MEMORY_ENTRIES : BATCH)) continue;
      spill ??= new SpillFile(path);
      spill.add(batch);
      batch = [];
    }
    if (spill === undefined) {
      yield* batch.sort((a, b) => comparePaths(a.path, b.path));
      return;
    }
    spill.add(batch);
    yield* spill.sorted();
  } finally {
    spill?.close();
    if (spill !== undefined) await rm(path, { force: true });
  }
}

class SpillFile {
  readonly #database: DatabaseSync;

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    this.#database.exec(`
      PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -16384;
      DROP TABLE IF EXISTS entries;
      CREATE TABLE entries (key BLOB PRIMARY KEY, page BLOB NOT NULL) STRICT, WITHOUT ROWID;`);
  }

  add(entries: readonly Entry[]): void {
    const insert = this.#database.prepare('INSERT OR IGNORE INTO entries VALUES (?, ?)');
    this.#database.exec('BEGIN');
    for (const entry of entries) {
      if (insert.run(sortKey(entry.path), encodePage([entry])).changes === 0) throw twice(entry.path);
    }
    this.#database.exec('COMMIT');
  }

  *sorted(): Generator<Entry> {
    for (const row of this.#database.prepare('SELECT page FROM entries ORDER BY key').iterate()) {
      yield* decodePage(row.page as Uint8Array);
    }
  }

  close(): void {
    this.#database.close();
  }
}

/** Bytes whose plain order is {@link comparePaths}'s: names hold no NUL, so that can stand for `/`. */
function sortKey(path: string): Buffer {
  const key = encodeName(path);
  for (let at = 0; at < key.length; at++) if (key[at] === 0x2f) key[at] = 0;
  return key;
}

function twice(path: string): OverdubError {
  return new OverdubError(
    'IMAGE_INVALID',
    `The image names ${JSON.stringify(path)} twice.`,
    'Rebuild the image; each path may stand in it once.',
  );
}

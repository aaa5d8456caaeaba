import type { DatabaseSync } from 'node:sqlite';

const SCHEMA = `
CREATE TABLE IF NOT EXISTS checked (pack TEXT PRIMARY KEY, turn INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`;

/** Which packs' data was read by verifications, and in which order: what samples go by. Lost with the chunk index. */
export class CheckedPacks {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    database.exec(SCHEMA);
  }

  /** Name → a number that is higher the later it was read; packs never read are not in it. */
  turns(): Map<string, number> {
    const rows = this.#database.prepare('SELECT pack, turn FROM checked').all();
    return new Map(rows.map((row) => [row.pack as string, row.turn as number]));
  }

  /** The data of this pack was read just now. */
  note(pack: string): void {
    const next = '(SELECT coalesce(max(turn), 0) + 1 FROM checked)';
    this.#database.prepare(`INSERT OR REPLACE INTO checked VALUES (?, ${next})`).run(pack);
  }

  /** Forgets packs that are gone. */
  tidy(): void {
    this.#database.exec('DELETE FROM checked WHERE pack NOT IN (SELECT name FROM packs)');
  }
}

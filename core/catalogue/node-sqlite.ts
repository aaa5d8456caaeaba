/** Kysely over Node's own SQLite: Kysely's SQLite dialect with node:sqlite in the place of better-sqlite3. */

import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { Kysely, SqliteDialect } from 'kysely';

/**
 * Opens a database file. WAL, and every commit is synced: what an operation says it did survives a power cut.
 * Throws raw SQLite errors. Close it with `destroy()`.
 */
export function openNodeSqlite<Schema>(path: string): Kysely<Schema> {
  const database = new DatabaseSync(path, { timeout: 5000 });
  try {
    for (const pragma of ['journal_mode = WAL', 'synchronous = FULL', 'foreign_keys = ON']) {
      database.exec(`PRAGMA ${pragma}`);
    }
  } catch (error) {
    database.close();
    throw error;
  }
  return new Kysely<Schema>({ dialect: new SqliteDialect({ database: shim(database) }) });
}

/** The part of better-sqlite3 that Kysely's dialect asks for. */
function shim(database: DatabaseSync): ConstructorParameters<typeof SqliteDialect>[0]['database'] {
  return {
    close: () => database.close(),
    prepare: (sql: string) => {
      const statement = database.prepare(sql);
      return {
        reader: statement.columns().length > 0,
        all: (parameters: readonly unknown[]) => statement.all(...(parameters as SQLInputValue[])),
        run: (parameters: readonly unknown[]) => statement.run(...(parameters as SQLInputValue[])),
        iterate: (parameters: readonly unknown[]) => statement.iterate(...(parameters as SQLInputValue[])),
      };
    },
  };
}

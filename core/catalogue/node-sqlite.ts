/** Kysely over Node's own SQLite: Kysely's SQLite dialect with node:sqlite in the place of better-sqlite3. */

import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { Kysely, SqliteDialect } from 'kysely';
import { unwritable } from './state-directory.ts';

/**
 * Opens a database file. WAL, and every commit is synced: what an operation says it did survives a power cut.
 * Throws raw SQLite errors, save that a disk which takes no more is STATE_UNWRITABLE. Close it with `destroy()`.
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
  return new Kysely<Schema>({ dialect: new SqliteDialect({ database: shim(database, dirname(path)) }) });
}

/** SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL: the fault is the disk's (https://sqlite.org/rescode.html). */
const DISK_FAULTS: ReadonlySet<number> = new Set([8, 10, 13]);

/** The part of better-sqlite3 that Kysely's dialect asks for. */
function shim(
  database: DatabaseSync,
  directory: string,
): ConstructorParameters<typeof SqliteDialect>[0]['database'] {
  const told = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      const code = (error as { errcode?: number }).errcode ?? 0;
      throw DISK_FAULTS.has(code & 0xff) ? unwritable(directory, error) : error;
    }
  };
  return {
    close: () => database.close(),
    prepare: (sql: string) => {
      const statement = database.prepare(sql);
      return {
        reader: statement.columns().length > 0,
        all: (parameters: readonly unknown[]) =>
          told(() => statement.all(...(parameters as SQLInputValue[]))),
        run: (parameters: readonly unknown[]) =>
          told(() => statement.run(...(parameters as SQLInputValue[]))),
        iterate: (parameters: readonly unknown[]) => statement.iterate(...(parameters as SQLInputValue[])),
      };
    },
  };
}

/** Kysely over Node's own SQLite: Kysely's SQLite dialect with node:sqlite in the place of better-sqlite3. */

import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { Kysely, SqliteDialect, sql } from 'kysely';
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

/** Commits without waiting for the disk, and waits for it elsewhere: {@link relaxedCommits}. */
export interface RelaxedCommits<Schema> {
  /** One transaction. It survives a crash of the process at once, a power cut after the next `sync` or synced commit. */
  run(work: (transaction: Kysely<Schema>) => Promise<void>): Promise<void>;
  /** Resolves when all that was committed before is on the disk. The event loop goes on meanwhile. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * For many small transactions beside work that must not stand still: committing with `synchronous = FULL` syncs the
 * log on the one thread that also answers the network. In WAL mode a commit is durable once the log file is synced
 * (https://sqlite.org/pragma.html#pragma_synchronous), by whomever.
 */
export function relaxedCommits<Schema>(db: Kysely<Schema>, path: string): RelaxedCommits<Schema> {
  let log: Promise<FileHandle> | undefined;
  return {
    // Nobody else may use the connection in between.
    run: (work) =>
      db.connection().execute(async (connection) => {
        await sql`PRAGMA synchronous = NORMAL`.execute(connection);
        try {
          await connection.transaction().execute(work);
        } finally {
          await sql`PRAGMA synchronous = FULL`.execute(connection);
        }
      }),
    async sync() {
      log ??= openLog(`${path}-wal`);
      log.catch(() => {
        log = undefined;
      });
      await (await log).datasync();
    },
    async close() {
      await (await log?.catch(() => undefined))?.close();
    },
  };
}

/** SQLite makes the log at the first write, and keeps the file until the database is closed. */
async function openLog(path: string): Promise<FileHandle> {
  const log = await open(path, 'r+');
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
  return log;
}

/** SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL: the fault is the disk's (https://sqlite.org/rescode.html). */
const DISK_FAULTS: ReadonlySet<number> = new Set([8, 10, 13]);

/** Prepared statements kept for the next time. */
const KEPT_STATEMENTS = 200;

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
  const prepare = (sql: string) => {
    const statement = database.prepare(sql);
    return {
      reader: statement.columns().length > 0,
      all: (parameters: readonly unknown[]) => told(() => statement.all(...(parameters as SQLInputValue[]))),
      run: (parameters: readonly unknown[]) => told(() => statement.run(...(parameters as SQLInputValue[]))),
      // Walked while others run: never a shared one.
      iterate: (parameters: readonly unknown[]) =>
        database.prepare(sql).iterate(...(parameters as SQLInputValue[])),
    };
  };
  const prepared = new Map<string, ReturnType<typeof prepare>>();
  return {
    close: () => database.close(),
    prepare: (sql: string) => {
      const known = prepared.get(sql);
      if (known !== undefined) return known;
      // Statements that change the schema, and lists of any length in a condition, must not fill it for good.
      if (prepared.size >= KEPT_STATEMENTS) prepared.clear();
      const fresh = prepare(sql);
      prepared.set(sql, fresh);
      return fresh;
    },
  };
}

import { readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { BlobStoreLocked } from '@overdub/core';

/** Who holds a lock, for people. The lock itself is the kernel's. */
interface Holder {
  readonly owner: string;
  readonly pid: number;
  readonly host: string;
  /** Field 22 of /proc/PID/stat: with the pid it names one process for good. */
  readonly startTime?: string;
}

/**
 * The single-writer lock of a directory. It is an exclusive fcntl lock, which Node offers only through
 * SQLite: the kernel frees it when its holder dies, however it dies, so no stale lock has to be judged by
 * pid, and a holder inside another container counts as alive. `holder.json` beside it only says who it is.
 */
export class DirectoryLock {
  readonly #path: string;
  readonly #holderPath: string;
  #database: DatabaseSync | undefined;

  constructor(directory: string) {
    this.#path = join(directory, 'lock');
    this.#holderPath = join(directory, 'holder.json');
  }

  /** Throws BlobStoreLocked, naming the holder, while another one lives. Taking it twice is fine. */
  async take(owner: string): Promise<void> {
    if (this.#database !== undefined) return;
    const database = new DatabaseSync(this.#path, { timeout: 0 });
    try {
      database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    } catch (error) {
      database.close();
      if (isBusy(error)) throw new BlobStoreLocked(await this.#describeHolder());
      throw error;
    }
    this.#database = database;
    const holder: Holder = {
      owner,
      pid: process.pid,
      host: hostname(),
      ...(await startTimeOf(process.pid)),
    };
    // A full disk must not keep anyone from opening the store: the note may be missing.
    await writeFile(this.#holderPath, JSON.stringify(holder)).catch(ignoreFull);
  }

  async release(): Promise<void> {
    const database = this.#database;
    if (database === undefined) return;
    this.#database = undefined;
    await rm(this.#holderPath, { force: true });
    database.close();
  }

  async #describeHolder(): Promise<string> {
    const text = await readFile(this.#holderPath, 'utf8').catch(() => '');
    try {
      const { owner, pid, host } = JSON.parse(text) as Holder;
      return `${owner} (process ${pid} on ${host})`;
    } catch {
      return 'another process that has not said its name';
    }
  }
}

function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: number }).errcode ?? 0;
  return (code & 0xff) === 5 || (code & 0xff) === 6;
}

function ignoreFull(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOSPC' && error.code !== 'EDQUOT') throw error;
}

async function startTimeOf(pid: number): Promise<{ startTime?: string }> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const startTime = text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  return startTime === undefined ? {} : { startTime };
}

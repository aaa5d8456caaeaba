/** The appliance's own directory: made, tried, and locked for as long as the appliance runs. */

import { randomBytes } from 'node:crypto';
import { access, constants, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { OverdubError } from '../errors.ts';

export interface StateDirectory {
  readonly path: string;
  /** 256 bits that never leave this directory; agents' credentials are derived from it. */
  readonly key: Buffer;
  /** Gives the lock back. Idempotent. */
  release(): void;
}

/** Makes the directory (0700) where it is missing and takes its lock. STATE_UNWRITABLE, STATE_LOCKED. */
export async function openStateDirectory(path: string): Promise<StateDirectory> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
    const probe = join(path, `.probe-${randomBytes(6).toString('hex')}`);
    await writeFile(probe, 'x', { flag: 'wx' });
    await rm(probe);
  } catch (error) {
    throw unwritable(path, error);
  }
  const release = await lock(path);
  try {
    return { path, key: await stateKey(path), release };
  } catch (error) {
    release();
    throw unwritable(path, error);
  }
}

/** STATE_UNWRITABLE with what to do; an error that is coded already passes unchanged. */
export function unwritable(path: string, cause: unknown): OverdubError {
  if (cause instanceof OverdubError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new OverdubError(
    'STATE_UNWRITABLE',
    `The state directory ${path} cannot be used: ${why}.`,
    `Give this user the right to write there and free space (chown, df), or name another directory with --state.`,
    { cause },
  );
}

/** An exclusive SQLite transaction is a lock the kernel drops when the process dies, and holds inside one process. */
async function lock(path: string): Promise<() => void> {
  const holder = join(path, 'lock.pid');
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(path, 'lock'), { timeout: 0 });
    database.exec('BEGIN EXCLUSIVE');
    await writeFile(holder, `${process.pid}\n`);
  } catch (error) {
    database?.close();
    if (!isBusy(error)) throw unwritable(path, error);
    const pid = await readFile(holder, 'utf8').catch(() => '');
    throw new OverdubError(
      'STATE_LOCKED',
      `Another appliance uses the state directory ${path}${pid === '' ? '' : ` (process ${pid.trim()})`}.`,
      'Stop that one first, or name another directory with --state.',
      { cause: error },
    );
  }
  const held = database;
  let open = true;
  return () => {
    if (open) held.close();
    open = false;
  };
}

/** SQLITE_BUSY is 5. */
function isBusy(error: unknown): boolean {
  return (error as { errcode?: number } | undefined)?.errcode === 5;
}

async function stateKey(path: string): Promise<Buffer> {
  const name = join(path, 'state.key');
  try {
    const handle = await open(name, 'wx', 0o600);
    try {
      await handle.writeFile(randomBytes(32).toString('hex'));
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error;
  }
  const key = Buffer.from((await readFile(name, 'utf8')).trim(), 'hex');
  if (key.length !== 32) throw new Error(`${name} does not hold 64 hex digits`);
  return key;
}

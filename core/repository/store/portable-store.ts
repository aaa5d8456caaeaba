/** The wrapper every blob store driver gets once: retries, time limits, and errors in the closed list's codes. */

import { type BlobStat, type BlobStore, BlobStoreLocked } from '../../contracts/blob-store.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { Log } from '../../contracts/log.ts';
import { OverdubError } from '../../errors.ts';

/** Waits before the second, third and fourth try, milliseconds. */
const RETRY_WAITS_MS = [100, 500, 2500];
const TIME_LIMIT_MS = 120_000;
/** Nobody hears of it: without a reason of ours each read would make an exception, which takes as long as a small read does. */
const SETTLED = 'the storage answered in time';
/** Errors that trying again does not cure; everything else of a driver counts as transient. */
const LASTING_CODES = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG', 'ELOOP']);
const LASTING_NAMES = new Set([
  'BlobNotFound',
  'BlobExists',
  'BlobStoreFull',
  'BlobStoreLocked',
  'RangeError',
  'TypeError',
  'AbortError',
]);

export interface PortableStoreOptions {
  readonly clock: Clock;
  readonly log: Log;
}

/** What the repository sees of a blob store. Rejects with OverdubErrors only. */
export class PortableStore {
  readonly #store: BlobStore;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(store: BlobStore, options: PortableStoreOptions) {
    this.#store = store;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** The blob or the asked range of it; undefined when there is none. */
  async read(
    name: string,
    range?: { readonly offset: number; readonly length: number },
  ): Promise<Uint8Array | undefined> {
    return this.#orMissing(`read ${name}`, () => this.#store.get(name, range));
  }

  stat(name: string): Promise<BlobStat | undefined> {
    return this.#call(`look at ${name}`, () => this.#store.stat(name));
  }

  /** Blobs in byte order of names. A listing that breaks is not begun again: the caller has seen a part. */
  async *list(prefix: string): AsyncGenerator<BlobStat> {
    try {
      yield* this.#store.list(prefix);
    } catch (error) {
      throw codedError(error, `list ${prefix}`);
    }
  }

  /**
   * Writes the joined pieces, atomically and durably. REPOSITORY_FULL when there is no room. False when a try that ran out
   * of time may still be reading the pieces: they must not change.
   */
  async write(name: string, pieces: readonly Uint8Array[]): Promise<boolean> {
    const only = pieces.length === 1 ? pieces[0] : undefined;
    let underWay = 0;
    const put = async () => {
      underWay += 1;
      try {
        await this.#store.put(name, only ?? streamOf(pieces));
      } finally {
        underWay -= 1;
      }
    };
    await this.#call(`write ${name}`, put);
    return underWay === 0;
  }

  /** Like {@link write}, unless the name is taken: then nothing happens, and false comes back. */
  async writeNew(name: string, bytes: Uint8Array): Promise<boolean> {
    const put = () => this.#store.put(name, bytes, { createOnly: true }).then(() => true);
    try {
      return await this.#call(`create ${name}`, put);
    } catch (error) {
      if (nameOf((error as OverdubError).cause) === 'BlobExists') return false;
      throw error;
    }
  }

  remove(name: string): Promise<void> {
    return this.#call(`remove ${name}`, () => this.#store.remove(name));
  }

  space(): ReturnType<BlobStore['space']> {
    return this.#call('ask for free space', () => this.#store.space());
  }

  /** STATE_LOCKED while another appliance holds it. */
  lock(owner: string): Promise<void> {
    return this.#call('lock the repository', () => this.#store.lock(owner));
  }

  async close(): Promise<void> {
    await this.#call('close the repository', () => this.#store.close());
  }

  async #orMissing<T>(what: string, run: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#call(what, run);
    } catch (error) {
      if (nameOf((error as OverdubError).cause) === 'BlobNotFound') return undefined;
      throw error;
    }
  }

  async #call<T>(what: string, run: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#limited(what, run);
      } catch (error) {
        const wait = RETRY_WAITS_MS[attempt];
        if (wait === undefined || isLasting(error)) throw codedError(error, what);
        this.#log.warn({ error: String(error), attempt: attempt + 1 }, `could not ${what}; trying again`);
        await this.#clock.sleep(wait);
      }
    }
  }

  async #limited<T>(what: string, run: () => Promise<T>): Promise<T> {
    const done = new AbortController();
    const limit = this.#clock.sleep(TIME_LIMIT_MS, done.signal).then(() => {
      throw new OverdubError(
        'TIMED_OUT',
        `The storage did not ${what} within ${TIME_LIMIT_MS / 1000} s.`,
        'Look at the disk or the network behind the repository.',
      );
    });
    limit.catch(() => undefined);
    try {
      return await Promise.race([run(), limit]);
    } finally {
      done.abort(SETTLED);
    }
  }
}

async function* streamOf(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : '';
}

function isLasting(error: unknown): boolean {
  if (error instanceof OverdubError && error.code !== 'TIMED_OUT') return true;
  const code = (error as { code?: unknown } | undefined)?.code;
  return LASTING_NAMES.has(nameOf(error)) || (typeof code === 'string' && LASTING_CODES.has(code));
}

function codedError(error: unknown, what: string): OverdubError {
  if (error instanceof OverdubError) return error;
  const detail = error instanceof Error ? error.message : String(error);
  const make = (code: ConstructorParameters<typeof OverdubError>[0], message: string, remedy: string) =>
    new OverdubError(code, message, remedy, { cause: error });
  if (nameOf(error) === 'BlobStoreFull') {
    return make(
      'REPOSITORY_FULL',
      `The repository has no room left (${detail}); nothing was committed.`,
      'Make room on the disk of the repository, or move the repository to a larger disk, then repeat the operation. ' +
        'What was committed before is untouched. To free room: remove snapshots, then collect: overdub gc.',
    );
  }
  if (error instanceof BlobStoreLocked || nameOf(error) === 'BlobStoreLocked') {
    return make(
      'STATE_LOCKED',
      `The repository cannot be opened: ${detail}.`,
      'Stop the other appliance first, or give this one a repository of its own.',
    );
  }
  const code = (error as { code?: unknown } | undefined)?.code;
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return make(
      'STATE_UNWRITABLE',
      `Could not ${what}: ${detail}.`,
      'Let the appliance’s user read and write the repository.',
    );
  }
  return make(
    'PLUGIN_FAILED',
    `The storage driver could not ${what}: ${detail}.`,
    'Look at the disk or service behind the repository, then try again.',
  );
}

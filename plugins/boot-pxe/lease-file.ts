/**
 * Leases on disk: `leases.json` holds those of one moment, `leases.log` a line for each change since (and room for more,
 * zeros). A change costs one write, durable before a client is told (RFC 2131 §4.3.1: committed to persistent storage);
 * the two become one file again at start and when the log has grown.
 */

import { open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { normalizeMac, OverdubError } from '@overdub/core/agent';
import { syncDirectory } from '@overdub/lib-files';
import { parseIpv4 } from '@overdub/lib-netboot';
import type { Lease, LeaseChange } from './lease-book.ts';
import { LeaseLog, linesOf } from './lease-log.ts';

const FORMAT = 1;
/** A log longer than this, and than the leases themselves, is merged. */
const LOG_LINES = 4096;

/** Where leases and their changes come from: a `LeaseBook`. */
export interface LeaseSource {
  all(): readonly Lease[];
  takeChanges(): readonly LeaseChange[];
  unwritten(changes: readonly LeaseChange[]): void;
}

export class LeaseFile {
  readonly #path: string;
  readonly #logPath: string;
  readonly #log: LeaseLog;
  #lines = 0;
  #writing: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(directory: string) {
    this.#path = path.join(directory, 'leases.json');
    this.#logPath = path.join(directory, 'leases.log');
    this.#log = new LeaseLog(this.#logPath);
  }

  /**
   * Leases of the last run; none when there is no file yet. A damaged file is refused, never overwritten:
   * forgetting leases would hand their addresses to others. A last line that a power cut left half written was
   * promised to nobody.
   */
  async load(): Promise<readonly Lease[]> {
    const [text, log] = [await readIfThere(this.#path), await readIfThere(this.#logPath)];
    const leases = text === undefined ? [] : (parseLeases(text) ?? damaged(this.#path));
    const byAddress = new Map(leases.map((lease) => [lease.address, lease]));
    for (const line of linesOf(log ?? '')) {
      const { address, lease } = parseChange(line) ?? damaged(this.#logPath);
      byAddress.delete(address);
      if (lease !== undefined) byAddress.set(address, lease);
    }
    const present = [...byAddress.values()];
    if (log !== undefined && log !== '') await this.#merge(present);
    return present;
  }

  /** Makes the log, so that the first lease does not wait for that. STATE_UNWRITABLE. */
  async prepare(): Promise<void> {
    try {
      await this.#log.open();
    } catch (error) {
      throw new OverdubError(
        'STATE_UNWRITABLE',
        `boot-pxe: the journal of leases ${this.#logPath} cannot be made: ${reasonOf(error)}`,
        'Make room on that disk, or name a state directory that can be written.',
        { plugin: 'boot-pxe', cause: error },
      );
    }
  }

  /**
   * Resolves once all changes of now are on disk. Callers that come while a write is under way share the next one.
   * Rejects when the disk does; the changes are then part of the next write.
   */
  save(source: LeaseSource): Promise<void> {
    this.#next ??= (this.#writing ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => this.#write(source));
    return this.#next;
  }

  async close(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    await this.#log.close();
  }

  async #write(source: LeaseSource): Promise<void> {
    this.#writing = this.#next;
    this.#next = undefined;
    const changes = source.takeChanges();
    if (changes.length === 0) return;
    try {
      if (this.#lines + changes.length > Math.max(LOG_LINES, source.all().length)) {
        await this.#merge(source.all());
        return;
      }
      await this.#log.append(changes.map((change) => `${JSON.stringify(change)}\n`).join(''));
      this.#lines += changes.length;
    } catch (error) {
      source.unwritten(changes);
      // What is in the log is unclear: the next write begins a new one.
      this.#lines = Number.POSITIVE_INFINITY;
      throw error;
    }
  }

  /** All leases into a new file, put in the place of the old; then the log has nothing to add. */
  async #merge(leases: readonly Lease[]): Promise<void> {
    const temporary = `${this.#path}.new`;
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify({ format: FORMAT, leases })}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.#path);
    await syncDirectory(path.dirname(this.#path));
    await this.#log.remove();
    this.#lines = 0;
  }
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function damaged(file: string): never {
  throw new OverdubError(
    'STATE_UNWRITABLE',
    `boot-pxe: the lease file ${file} is damaged.`,
    'Restore it from a backup; or, when every machine may get a new address, delete it and start again.',
    { plugin: 'boot-pxe' },
  );
}

function parseLeases(text: string): readonly Lease[] | undefined {
  const { format, leases } = (parsed(text) ?? {}) as { format?: unknown; leases?: unknown };
  return format === FORMAT && Array.isArray(leases) && leases.every(isLease) ? leases : undefined;
}

function parseChange(line: string): LeaseChange | undefined {
  const change = (parsed(line) ?? {}) as { address?: unknown; lease?: unknown };
  const { address, lease } = change;
  if (typeof address !== 'string' || parseIpv4(address) === undefined) return undefined;
  if (lease === undefined) return { address };
  return isLease(lease) && lease.address === address ? { address, lease } : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isLease(value: unknown): value is Lease {
  const lease = (value ?? {}) as Partial<Record<keyof Lease, unknown>>;
  return (
    typeof lease.mac === 'string' &&
    normalizeMac(lease.mac) === lease.mac &&
    typeof lease.address === 'string' &&
    parseIpv4(lease.address) !== undefined &&
    typeof lease.expiresAt === 'number' &&
    (lease.state === 'bound' || lease.state === 'declined')
  );
}

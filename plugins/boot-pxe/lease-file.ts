/** Leases on disk: one JSON file, replaced atomically, durable before a client is told. */

import { open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { normalizeMac, OverdubError } from '@overdub/core/agent';
import { parseIpv4 } from '@overdub/lib-netboot';
import type { Lease } from './lease-book.ts';

const FORMAT = 1;

export class LeaseFile {
  readonly #path: string;
  #leases: (() => readonly Lease[]) | undefined;
  #writing: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(directory: string) {
    this.#path = path.join(directory, 'leases.json');
  }

  /**
   * Leases of the last run; none when there is no file yet. A damaged file is refused, never overwritten:
   * forgetting leases would hand their addresses to others.
   */
  async load(): Promise<readonly Lease[]> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    const leases = parseLeases(text);
    if (leases !== undefined) return leases;
    throw new OverdubError(
      'STATE_UNWRITABLE',
      `boot-pxe: the lease file ${this.#path} is damaged.`,
      'Restore it from a backup; or, when every machine may get a new address, delete it and start again.',
      { plugin: 'boot-pxe' },
    );
  }

  /**
   * Resolves once everything `leases()` holds now is on disk. Callers that come while a write is under way
   * share the next one. Rejects when the disk does; the file then still holds the last good state.
   */
  save(leases: () => readonly Lease[]): Promise<void> {
    this.#leases = leases;
    this.#next ??= (this.#writing ?? Promise.resolve()).catch(() => undefined).then(() => this.#write());
    return this.#next;
  }

  async #write(): Promise<void> {
    this.#writing = this.#next;
    this.#next = undefined;
    const body = { format: FORMAT, leases: this.#leases?.() ?? [] };
    const temporary = `${this.#path}.new`;
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(body)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.#path);
    const directory = await open(path.dirname(this.#path), 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

function parseLeases(text: string): readonly Lease[] | undefined {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { format, leases } = (body ?? {}) as { format?: unknown; leases?: unknown };
  return format === FORMAT && Array.isArray(leases) && leases.every(isLease) ? leases : undefined;
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

import type { Log } from '../../contracts/log.ts';
import { isBlobName } from '../../domain/blob-name.ts';
import { digestOf } from '../../domain/content-ref.ts';
import { OverdubError } from '../../errors.ts';
import { damaged } from './damage.ts';
import type { PortableStore } from './portable-store.ts';

const VERSION = 1;
const SUFFIX = '.json';
/** Records read at a time when listing. */
const LIST_PARALLEL = 8;

/** A record and where it lies. */
export interface StoredRecord {
  readonly name: string;
  readonly value: unknown;
}

/**
 * JSON records as blobs, each sealed with its SHA-256: commit objects and whatever else must survive a burnt
 * appliance. Writing replaces atomically and is durable when it resolves.
 */
export class RecordStore {
  readonly #store: PortableStore;
  readonly #log: Log;

  constructor(store: PortableStore, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** INPUT_INVALID when a part cannot be a name. */
  async put(parts: readonly string[], value: unknown): Promise<void> {
    const text = JSON.stringify(value);
    const sealed = `{"v":${VERSION},"sha256":"${digestOf(Buffer.from(text, 'utf8'))}","value":${text}}\n`;
    await this.#store.write(blobName(parts), [Buffer.from(sealed, 'utf8')]);
  }

  /** Undefined when there is none; REPOSITORY_DAMAGED when it does not match its seal. */
  async get(parts: readonly string[]): Promise<unknown | undefined> {
    const name = blobName(parts);
    const bytes = await this.#store.read(name);
    return bytes === undefined ? undefined : unseal(name, bytes);
  }

  /** By the name that {@link names} gave; undefined when it was removed since. REPOSITORY_DAMAGED. */
  async read(name: string): Promise<unknown | undefined> {
    const bytes = await this.#store.read(name);
    return bytes === undefined ? undefined : unseal(name, bytes);
  }

  /** Every sound record directly below, in byte order of names; a damaged one is logged and left out. */
  async list(parts: readonly string[]): Promise<StoredRecord[]> {
    const names = await this.names(parts);
    const records: StoredRecord[] = [];
    for (let at = 0; at < names.length; at += LIST_PARALLEL) {
      const some = names.slice(at, at + LIST_PARALLEL).map((name) => this.#readListed(name));
      for (const record of await Promise.all(some)) if (record !== undefined) records.push(record);
    }
    return records;
  }

  /** Every record below, one at a time, in byte order of names. REPOSITORY_DAMAGED at one that is damaged. */
  async *each(parts: readonly string[]): AsyncGenerator<StoredRecord> {
    for (const name of await this.names(parts)) {
      const value = await this.read(name);
      if (value !== undefined) yield { name, value };
    }
  }

  /** Where the records below lie, damaged ones too. */
  async names(parts: readonly string[]): Promise<string[]> {
    const names: string[] = [];
    const prefix = parts.length === 0 ? '' : `${checkedParts(parts).join('/')}/`;
    for await (const blob of this.#store.list(prefix)) {
      if (blob.name.endsWith(SUFFIX)) names.push(blob.name);
    }
    return names;
  }

  async remove(parts: readonly string[]): Promise<void> {
    await this.#store.remove(blobName(parts));
  }

  async #readListed(name: string): Promise<StoredRecord | undefined> {
    const bytes = await this.#store.read(name);
    if (bytes === undefined) return undefined;
    try {
      return { name, value: unseal(name, bytes) };
    } catch (error) {
      this.#log.error({ record: name }, (error as Error).message);
      return undefined;
    }
  }
}

function blobName(parts: readonly string[]): string {
  return `${checkedParts(parts).join('/')}${SUFFIX}`;
}

function checkedParts(parts: readonly string[]): readonly string[] {
  const name = parts.join('/');
  if (parts.some((part) => part.includes('/')) || !isBlobName(name) || name.length > 190) {
    throw new OverdubError(
      'INPUT_INVALID',
      `${JSON.stringify(name)} cannot name a record in the repository.`,
      'Use lower-case letters, digits, dots, dashes and underscores, beginning with a letter or digit.',
    );
  }
  return parts;
}

function unseal(name: string, bytes: Uint8Array): unknown {
  try {
    const { v, sha256, value } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>;
    const sound = v === VERSION && digestOf(Buffer.from(JSON.stringify(value), 'utf8')) === sha256;
    if (sound) return value;
  } catch (error) {
    throw damaged(`The record ${name} is damaged: it is no JSON.`, error);
  }
  throw damaged(`The record ${name} is damaged: it does not match its digest.`);
}

/** Makes the entries of a tree one after another, small ones by a thread of its own where that is allowed. */

import { type BigIntStats, lstatSync } from 'node:fs';
import {
  type ApplyOptions,
  type ContentRef,
  type ContentSource,
  type ContentStream,
  type Entry,
  OverdubError,
} from '@overdub/core/agent';
import { TreeCursor } from './cursor.ts';
import { errorCode, getXattr, listXattrs } from './libc.ts';
import { type Metadata, setMetadata } from './metadata.ts';
import { fromRaw, fsPath, splitPath } from './names.ts';
import { openFileBelow } from './open.ts';
import type { Step } from './plan.ts';
import { removeFile } from './remove.ts';
import { StampsInOrder } from './stamps-in-order.ts';
import {
  checkedShort,
  type FileJob,
  fitsBeside,
  wantedOf,
  writeFile,
  writeLink,
  writeShortFile,
  writeSpecial,
} from './write-file.ts';
import { WriterThread } from './writer/writer.ts';

export type WriteStep = Extract<Step, { do: 'write' }>;
/** What lies at a path now. */
type OpenBase = Required<Parameters<ContentSource['open']>>[1] & {
  readonly reader: { close(): void };
};
/** A name in an open directory. */
interface Place {
  readonly dirfd: number;
  readonly name: string;
}
type MakerOptions = Pick<ApplyOptions, 'signal' | 'blank' | 'dryRun' | 'onFile' | 'mayUseThread'>;

/**
 * Where a promise is returned, nothing else is asked for before it resolves. What the thread has still to make is waited for before
 * anything looks at it; {@link stat} and {@link xattrs} do not, which are for what was there before.
 */
export class TreeMaker {
  /** Where it works: neighbours cost nothing. */
  readonly cursor: TreeCursor;
  readonly #rootFd: number;
  readonly #contents: ContentSource;
  readonly #options: MakerOptions;
  /** Aborted as well when the thread has failed. */
  readonly #signal: AbortSignal;
  readonly #onBytes: (count: number) => void;
  readonly #stamps: StampsInOrder;
  readonly #writer: WriterThread | undefined;

  /** `rootFd` stays the caller's; `onBytes` is told of bytes that are written, or are about to be. */
  constructor(
    rootFd: number,
    contents: ContentSource,
    options: MakerOptions,
    onBytes: (count: number) => void,
  ) {
    this.#rootFd = rootFd;
    this.#contents = contents;
    this.#options = options;
    this.#onBytes = onBytes;
    this.#stamps = new StampsInOrder((path, stamp) => options.onFile?.(path, stamp));
    // Where something may stand already, most of the work is to look at it.
    const isHelp = options.mayUseThread === true && options.blank === true && options.dryRun !== true;
    const writer = isHelp ? WriterThread.start((stamp) => this.#stamps.came(stamp)) : undefined;
    this.#writer = writer;
    const { signal } = options;
    this.#signal = writer === undefined ? signal : AbortSignal.any([signal, writer.failing]);
    this.cursor =
      writer === undefined ? new TreeCursor(rootFd) : new TreeCursor(rootFd, (fd) => writer.close(fd));
  }

  /** All that was asked for is made. Rejects with what could not be. */
  async settled(): Promise<void> {
    await this.#writer?.drained();
  }

  async close(): Promise<void> {
    this.cursor.close();
    await this.#writer?.end();
  }

  file(step: WriteStep): Promise<void> | undefined {
    const content = step.entry.content ?? missingContent(step.entry);
    const [parent, name] = splitPath(step.entry.path);
    const place = { dirfd: this.cursor.directory(parent), name };
    const fits = fitsBeside(place.dirfd, content.bytes);
    // Removed first, the old file's room counts; but then it is neither a base nor there after a power cut.
    if (!fits) removeFile(this.cursor.path(parent, name));
    const base = fits && step.base !== undefined ? this.#openBase(step.entry.path, step.base) : undefined;
    if (base !== undefined) return this.#writeFrom(place, step, content, base);
    const job = this.#job(step, content, undefined);
    const short = checkedShort(job);
    return short === undefined ? this.#writeAsItComes(place, job) : this.#writeShort(place, job, short);
  }

  /** With its parents; it is {@link metadata} that finishes it. */
  directory(entry: Entry): Promise<void> | undefined {
    this.cursor.ensureDirectory(entry.path);
    return this.#writer?.room();
  }

  /** What is no file, no directory and no hard link. */
  special(entry: Entry): Promise<void> | undefined {
    const [parent, name] = splitPath(entry.path);
    const dirfd = this.cursor.directory(parent);
    if (this.#writer !== undefined) return this.#writer.put({ do: 'special', dirfd, name, entry });
    writeSpecial(dirfd, name, entry, this.#options.blank === true);
  }

  /** Resolves to whether the link had to be made. */
  async link(entry: Entry): Promise<boolean> {
    await this.settled();
    const first = splitPath(entry.target ?? '');
    const [parent, name] = splitPath(entry.path);
    const there = this.stat(entry.path);
    // Apart from where it works, which is gone on with.
    const sources = new TreeCursor(this.#rootFd);
    try {
      const source = statIn(sources, entry.target ?? '');
      if (source === undefined) throw missingFirst(entry);
      if (there !== undefined && there.ino === source.ino && there.dev === source.dev) return false;
      writeLink(this.cursor.directory(parent), name, sources.path(...first));
      return true;
    } finally {
      sources.close();
    }
  }

  /** Of a directory that is left, or of what need not be made. */
  metadata(entry: Entry): Promise<void> | undefined {
    const at = this.#at(entry.path);
    if (this.#writer !== undefined) return this.#writer.put({ do: 'metadata', at, entry: metadataOf(entry) });
    setMetadata(at, entry);
  }

  /** Of what is right already nothing is changed. All else is {@link settled}. */
  correct(entry: Entry): void {
    const stat = lstatSync(fsPath(this.#at(entry.path)), { bigint: true });
    const same =
      (Number(stat.mode) & 0o7777) === entry.mode &&
      Number(stat.uid) === entry.uid &&
      Number(stat.gid) === entry.gid &&
      String(stat.mtimeNs) === entry.mtimeNs;
    const present = this.xattrs(entry.path) ?? {};
    const names = Object.keys(present);
    const sameXattrs =
      names.length === Object.keys(entry.xattrs ?? {}).length &&
      names.every((xattr) => present[xattr] === entry.xattrs?.[xattr]);
    if (!same || !sameXattrs) setMetadata(this.#at(entry.path), entry);
  }

  stat(path: string): BigIntStats | undefined {
    return statIn(this.cursor, path);
  }

  xattrs(path: string): Record<string, string> | undefined {
    const at = this.#at(path);
    const values = listXattrs(at).flatMap((raw) => {
      const value = getXattr(at, raw);
      return value === undefined ? [] : [[fromRaw(raw), value.toString('base64')] as const];
    });
    return values.length === 0 ? undefined : Object.fromEntries(values);
  }

  #at(path: string): string {
    return placeIn(this.cursor, path);
  }

  #writeShort({ dirfd, name }: Place, job: FileJob, bytes: Uint8Array): Promise<void> | undefined {
    const { path } = job.entry;
    const file = wantedOf(job);
    if (this.#writer !== undefined) {
      this.#stamps.later(path);
      return this.#writer.put({ do: 'file', dirfd, name, file }, bytes);
    }
    this.#stamps.now(path, writeShortFile(dirfd, name, file, bytes));
  }

  async #writeFrom(place: Place, step: WriteStep, content: ContentRef, base: OpenBase): Promise<void> {
    try {
      await this.#writeAsItComes(place, this.#job(step, content, base));
    } finally {
      base.reader.close();
    }
  }

  async #writeAsItComes({ dirfd, name }: Place, job: FileJob): Promise<void> {
    this.#writer?.flush();
    this.#stamps.now(job.entry.path, await writeFile(dirfd, name, job));
  }

  #job({ entry }: WriteStep, content: ContentRef, base: OpenBase | undefined): FileJob {
    return {
      entry: { ...entry, content },
      bytes: content.bytes === 0 ? NOTHING : this.#contents.open(content, base),
      onBytes: this.#onBytes,
      signal: this.#signal,
      plainly: this.#options.blank === true,
    };
  }

  #openBase(path: string, content: ContentRef): OpenBase | undefined {
    try {
      return { content, reader: openFileBelow(this.#rootFd, path) };
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || error instanceof OverdubError) return undefined;
      throw error;
    }
  }
}

/** Path (raw) of an entry, the root's own included, as {@link TreeCursor.path} gives it. */
function placeIn(cursor: TreeCursor, path: string): string {
  return path === '' ? cursor.path('', '.') : cursor.path(...splitPath(path));
}

function statIn(cursor: TreeCursor, path: string): BigIntStats | undefined {
  try {
    return lstatSync(fsPath(placeIn(cursor, path)), { bigint: true });
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Nothing else of it is told to another thread. */
function metadataOf({ type, mode, uid, gid, mtimeNs, xattrs }: Entry): Metadata {
  return { type, mode, uid, gid, mtimeNs, ...(xattrs === undefined ? {} : { xattrs }) };
}

const NOTHING: ContentStream = {
  atHand: new Uint8Array(),
  async *[Symbol.asyncIterator]() {},
};

function missingContent(entry: Entry): never {
  throw new OverdubError(
    'IMAGE_INVALID',
    `The image lists the file ${entry.path} without its content.`,
    'Run `overdub verify`; the stored manifest is not one that a scan makes.',
  );
}

function missingFirst(entry: Entry): OverdubError {
  return new OverdubError(
    'CONFLICT',
    `${entry.path} is a hard link to ${entry.target ?? ''}, which is not there (it may be excluded or kept back).`,
    `Exclude ${entry.path} too, or include ${entry.target ?? ''}.`,
  );
}

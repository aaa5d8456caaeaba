/** Makes a tree equal to a manifest: deletes first, then writes, directory times last. */

import { closeSync, lstatSync } from 'node:fs';
import {
  type ApplyOptions,
  type ApplyResult,
  type ContentRef,
  type ContentSource,
  type ContentStream,
  type Entry,
  type FileStamp,
  OverdubError,
} from '@overdub/core/agent';
import { openRoot } from './beneath.ts';
import { TreeCursor } from './cursor.ts';
import { compileExcludes, compileScope, DEFAULT_EXCLUDES } from './excludes.ts';
import { keptBack } from './kept-back.ts';
import { errorCode, getXattr, listXattrs } from './libc.ts';
import { setMetadata } from './metadata.ts';
import { fromRaw, fsPath, splitPath, toRaw } from './names.ts';
import { openFileBelow } from './open.ts';
import { planSteps, type Step } from './plan.ts';
import { type Protected, removeDirectory, removeFile } from './remove.ts';
import { Spool } from './spool.ts';
import {
  type FileJob,
  fitsBeside,
  shortBytes,
  writeFile,
  writeLink,
  writeShortFile,
  writeSpecial,
} from './write-file.ts';

const MAX_CHANGES = 1000;
type Later = Exclude<Step, { do: 'remove' | 'remove-directory' | 'removals-done' | 'ancestor' }>;
type WriteStep = Extract<Step, { do: 'write' }>;
/** What lies at a path now. */
type OpenBase = Required<Parameters<ContentSource['open']>>[1] & {
  readonly reader: { close(): Promise<void> };
};

/** See {@link Imager.apply}. The default excludes hold besides `options.excludes`. */
export async function applyTree(
  root: string,
  target: AsyncIterable<Entry>,
  present: AsyncIterable<Entry>,
  contents: ContentSource,
  options: ApplyOptions,
): Promise<ApplyResult> {
  const rootFd = openRoot(root);
  const run = new ApplyRun(rootFd, contents, options);
  try {
    return await run.all(target, present);
  } finally {
    run.close();
    closeSync(rootFd);
  }
}

class ApplyRun {
  readonly #rootFd: number;
  readonly #contents: ContentSource;
  readonly #options: ApplyOptions;
  readonly #cursor: TreeCursor;
  readonly #isProtected: Protected;
  readonly #plan: Parameters<typeof planSteps>[2];
  readonly #finals = new Spool<Entry>();
  readonly #changes: { path: string; action: 'write' | 'remove' | 'metadata' }[] = [];
  #written = 0;
  #removed = 0;
  #metadataOnly = 0;
  #writtenBytes = 0;

  constructor(rootFd: number, contents: ContentSource, options: ApplyOptions) {
    this.#rootFd = rootFd;
    this.#contents = contents;
    this.#options = options;
    this.#cursor = new TreeCursor(rootFd);
    const excluded = compileExcludes([...DEFAULT_EXCLUDES, ...options.excludes]);
    const outside = compileScope(undefined, options.keep);
    const only = compileScope(options.only);
    const kept = (path: string) => outside(path) === 'outside';
    this.#plan = { excluded, kept, only };
    this.#isProtected = (path, isDirectory) =>
      excluded(path, isDirectory) || kept(path) || only(path) === 'outside';
  }

  close(): void {
    this.#cursor.close();
  }

  async all(target: AsyncIterable<Entry>, present: AsyncIterable<Entry>): Promise<ApplyResult> {
    const steps = this.#removalsFirst(target, present);
    for await (const block of keptBack(steps, bytesOf, (coming) => this.#announce(coming))) {
      for (const step of block) {
        const done = this.#perform(step);
        if (done !== undefined) await done;
      }
    }
    for (const entry of this.#finals.drain()) this.#finish(entry);
    return {
      written: this.#written,
      removed: this.#removed,
      metadataOnly: this.#metadataOnly,
      writtenBytes: this.#writtenBytes,
      changes: this.#changes,
    };
  }

  /** Removes while the plan still finds something to remove, keeping the rest back; then lets the rest through. */
  async *#removalsFirst(target: AsyncIterable<Entry>, present: AsyncIterable<Entry>): AsyncGenerator<Later> {
    const back = new Spool<Later>();
    let removing = true;
    for await (const step of planSteps(target, present, this.#plan)) {
      this.#options.signal.throwIfAborted();
      if (step.do === 'remove' || step.do === 'remove-directory') {
        this.#remove(step);
      } else if (step.do === 'removals-done') {
        removing = false;
        yield* back.drain();
      } else {
        const later = step.do === 'ancestor' ? this.#ancestor(step.entry) : step;
        if (later === undefined) continue;
        if (removing) back.push(later);
        else yield later;
      }
    }
  }

  #remove(step: Extract<Step, { do: 'remove' | 'remove-directory' }>): void {
    let gone = true;
    if (this.#options.dryRun !== true) {
      const [parent, name] = splitPath(step.path);
      this.#cursor.forget(step.path);
      if (step.do === 'remove') removeFile(this.#cursor.path(parent, name));
      else gone = removeDirectory(this.#cursor.directory(parent), toRaw(name), step.path, this.#isProtected);
    }
    if (!gone && !step.counted) throw cannotReplace(step.path);
    if (!gone || !step.counted) return;
    this.#removed += 1;
    this.#note(step.path, 'remove');
  }

  /** An existing directory above the chosen paths keeps its times; a missing one is made as the target has it. */
  #ancestor(entry: Entry): Later | undefined {
    const stat = this.#statOf(entry.path);
    if (stat === undefined) {
      this.#finals.push(entry);
      return { do: 'directory', entry };
    }
    const { xattrs: _, ...rest } = entry;
    const xattrs = this.#options.dryRun === true ? undefined : this.#xattrsOf(entry.path);
    this.#finals.push({
      ...rest,
      mode: Number(stat.mode) & 0o7777,
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      mtimeNs: String(stat.mtimeNs),
      ...(xattrs === undefined ? {} : { xattrs }),
    });
    return undefined;
  }

  #announce(steps: readonly Later[]): void {
    if (this.#options.dryRun === true) return;
    const upcoming = steps.flatMap((step) =>
      step.do === 'write' && needsBytes(step) ? [step.entry.content] : [],
    );
    if (upcoming.length > 0) this.#contents.announce(upcoming as ContentRef[]);
  }

  /** At once, but for contents that have to be waited for: most steps are small, and a tree has many. */
  #perform(step: Later): Promise<void> | undefined {
    this.#options.signal.throwIfAborted();
    if (step.do === 'finish') {
      if (step.changed) this.#count(step.entry.path, 'metadata');
      if (this.#options.blank === true && canStillEnter(step.entry)) this.#finish(step.entry);
      else this.#finals.push(step.entry);
      return;
    }
    const { path } = step.entry;
    const dry = this.#options.dryRun === true;
    if (step.do === 'link') {
      if (dry ? step.changed : this.#link(step.entry)) this.#count(path, 'write');
    } else if (step.do === 'metadata') {
      if (!dry) setMetadata(this.#cursor.path(...splitPath(path)), step.entry);
      this.#count(path, 'metadata');
    } else {
      const made = dry ? this.#pretend(step) : this.#make(step);
      if (made !== undefined) return made.then(() => this.#count(path, 'write'));
      this.#count(path, 'write');
    }
  }

  #pretend(step: Extract<Later, { do: 'write' | 'directory' }>): undefined {
    if (step.do === 'write') this.#writtenBytes += step.entry.content?.bytes ?? 0;
  }

  #make(step: Extract<Later, { do: 'write' | 'directory' }>): Promise<void> | undefined {
    const { entry } = step;
    if (step.do === 'write' && entry.type === 'file') return this.#writeFile(step);
    if (step.do === 'directory') {
      this.#cursor.ensureDirectory(entry.path);
    } else {
      const [parent, name] = splitPath(entry.path);
      writeSpecial(this.#cursor.directory(parent), name, entry, this.#options.blank === true);
    }
  }

  #writeFile(step: WriteStep): Promise<void> | undefined {
    const content = step.entry.content ?? missingContent(step.entry);
    const [parent, name] = splitPath(step.entry.path);
    const fits = fitsBeside(this.#cursor.directory(parent), content.bytes);
    // Removed first, the old file's room counts; but then it is neither a base nor there after a power cut.
    if (!fits) removeFile(this.#cursor.path(parent, name));
    const base = fits && step.base !== undefined ? this.#openBase(step.entry.path, step.base) : undefined;
    if (base !== undefined) return this.#writeFrom(step, content, base);
    const job = this.#job(step, content, undefined);
    const short = shortBytes(job);
    if (short === undefined) return this.#writeAsItComes(step, job);
    this.#told(step, writeShortFile(this.#cursor.directory(parent), name, job, short));
  }

  async #writeFrom(step: WriteStep, content: ContentRef, base: OpenBase): Promise<void> {
    try {
      await this.#writeAsItComes(step, this.#job(step, content, base));
    } finally {
      await base.reader.close();
    }
  }

  async #writeAsItComes(step: WriteStep, job: FileJob): Promise<void> {
    const [parent, name] = splitPath(step.entry.path);
    this.#told(step, await writeFile(this.#cursor.directory(parent), name, job));
  }

  #job({ entry }: WriteStep, content: ContentRef, base: OpenBase | undefined): FileJob {
    return {
      entry: { ...entry, content },
      bytes: content.bytes === 0 ? NOTHING : this.#contents.open(content, base),
      onBytes: this.#onBytes,
      signal: this.#options.signal,
      plainly: this.#options.blank === true,
    };
  }

  #told({ entry }: WriteStep, stamp: FileStamp | undefined): void {
    if (stamp !== undefined) this.#options.onFile?.(entry.path, stamp);
  }

  readonly #onBytes = (count: number): void => {
    this.#writtenBytes += count;
    this.#options.onProgress(this.#writtenBytes);
  };

  #openBase(path: string, content: ContentRef): OpenBase | undefined {
    try {
      return { content, reader: openFileBelow(this.#rootFd, path) };
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || error instanceof OverdubError) return undefined;
      throw error;
    }
  }

  /** Whether the link had to be made. */
  #link(entry: Entry): boolean {
    const first = splitPath(entry.target ?? '');
    const [parent, name] = splitPath(entry.path);
    const source = this.#statOf(entry.target ?? '');
    const there = this.#statOf(entry.path);
    if (source === undefined) throw missingFirst(entry);
    if (there !== undefined && there.ino === source.ino && there.dev === source.dev) return false;
    const sources = new TreeCursor(this.#rootFd);
    try {
      writeLink(this.#cursor.directory(parent), name, sources.path(...first));
    } finally {
      sources.close();
    }
    return true;
  }

  /** Directories are finished once nothing in them changes any more; what is right already is left alone. */
  #finish(entry: Entry): void {
    if (this.#options.dryRun === true) return;
    const at = entry.path === '' ? this.#cursor.path('', '.') : this.#cursor.path(...splitPath(entry.path));
    // Where nothing was before, nothing can be right already.
    if (this.#options.blank === true) {
      setMetadata(at, entry);
      return;
    }
    const stat = lstatSync(fsPath(at), { bigint: true });
    const same =
      (Number(stat.mode) & 0o7777) === entry.mode &&
      Number(stat.uid) === entry.uid &&
      Number(stat.gid) === entry.gid &&
      String(stat.mtimeNs) === entry.mtimeNs;
    const present = this.#xattrsOf(entry.path) ?? {};
    const names = Object.keys(present);
    const sameXattrs =
      names.length === Object.keys(entry.xattrs ?? {}).length &&
      names.every((xattr) => present[xattr] === entry.xattrs?.[xattr]);
    if (!same || !sameXattrs) setMetadata(at, entry);
  }

  #statOf(path: string) {
    try {
      const at = path === '' ? this.#cursor.path('', '.') : this.#cursor.path(...splitPath(path));
      return lstatSync(fsPath(at), { bigint: true });
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  #xattrsOf(path: string): Record<string, string> | undefined {
    const at = path === '' ? this.#cursor.path('', '.') : this.#cursor.path(...splitPath(path));
    const values = listXattrs(at).flatMap((raw) => {
      const value = getXattr(at, raw);
      return value === undefined ? [] : [[fromRaw(raw), value.toString('base64')] as const];
    });
    return values.length === 0 ? undefined : Object.fromEntries(values);
  }

  #count(path: string, action: 'write' | 'metadata'): void {
    if (action === 'write') this.#written += 1;
    else this.#metadataOnly += 1;
    this.#note(path, action);
  }

  #note(path: string, action: 'write' | 'remove' | 'metadata'): void {
    if (this.#changes.length < MAX_CHANGES) this.#changes.push({ path, action });
  }
}

/**
 * Nothing comes into a directory that was left, but what comes later may be a hard link to something in it: of whoever may enter it only by
 * its present mode, or by a privilege, it is finished at the end.
 */
function canStillEnter({ mode, uid }: Entry): boolean {
  return uid === process.geteuid?.() ? (mode & 0o500) === 0o500 : (mode & 0o055) === 0o055;
}

function bytesOf(step: Later): number {
  return step.do === 'write' ? (step.entry.content?.bytes ?? 0) : 0;
}

function needsBytes(step: WriteStep): boolean {
  return step.entry.content !== undefined && step.entry.content.bytes > 0;
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

function cannotReplace(path: string): OverdubError {
  return new OverdubError(
    'CONFLICT',
    `The directory ${path} must make way for something else, but holds kept, excluded or mounted paths.`,
    'Unmount what is below it, or drop the exclude or --keep that protects it.',
  );
}

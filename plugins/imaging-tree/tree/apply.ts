/** Makes a tree equal to a manifest: deletes first, then writes, directory times last. */

import { closeSync } from 'node:fs';
import {
  type ApplyOptions,
  type ApplyResult,
  type ContentRef,
  type ContentSource,
  type Entry,
  OverdubError,
} from '@overdub/core/agent';
import { openRoot } from './beneath.ts';
import { compileExcludes, compileScope, DEFAULT_EXCLUDES } from './excludes.ts';
import { keptBack } from './kept-back.ts';
import { TreeMaker, type WriteStep } from './make.ts';
import { splitPath, toRaw } from './names.ts';
import { planSteps, type Step } from './plan.ts';
import { type Protected, removeDirectory, removeFile } from './remove.ts';
import { Spool } from './spool.ts';

const MAX_CHANGES = 1000;
type Later = Exclude<Step, { do: 'remove' | 'remove-directory' | 'removals-done' | 'ancestor' }>;
type MakeStep = Extract<Later, { do: 'write' | 'directory' }>;

/** See {@link Imager.apply}. The default excludes hold besides `options.excludes`. */
export async function applyTree(
  root: string,
  target: AsyncIterable<Entry>,
  present: AsyncIterable<Entry>,
  contents: ContentSource,
  options: ApplyOptions,
): Promise<ApplyResult> {
  const rootFd = openRoot(root);
  try {
    const run = new ApplyRun(rootFd, contents, options);
    try {
      return await run.all(target, present);
    } finally {
      await run.close();
    }
  } finally {
    closeSync(rootFd);
  }
}

class ApplyRun {
  readonly #contents: ContentSource;
  readonly #options: ApplyOptions;
  readonly #maker: TreeMaker;
  readonly #isProtected: Protected;
  readonly #plan: Parameters<typeof planSteps>[2];
  readonly #finals = new Spool<Entry>();
  readonly #changes: { path: string; action: 'write' | 'remove' | 'metadata' }[] = [];
  #written = 0;
  #removed = 0;
  #metadataOnly = 0;
  #writtenBytes = 0;

  constructor(rootFd: number, contents: ContentSource, options: ApplyOptions) {
    this.#contents = contents;
    this.#options = options;
    const excluded = compileExcludes([...DEFAULT_EXCLUDES, ...options.excludes]);
    const outside = compileScope(undefined, options.keep);
    const only = compileScope(options.only);
    const kept = (path: string) => outside(path) === 'outside';
    this.#plan = { excluded, kept, only };
    this.#isProtected = (path, isDirectory) =>
      excluded(path, isDirectory) || kept(path) || only(path) === 'outside';
    // Last: it is to be closed.
    this.#maker = new TreeMaker(rootFd, contents, options, this.#onBytes);
  }

  async close(): Promise<void> {
    await this.#maker.close();
  }

  async all(target: AsyncIterable<Entry>, present: AsyncIterable<Entry>): Promise<ApplyResult> {
    const steps = this.#removalsFirst(target, present);
    for await (const block of keptBack(steps, bytesOf, (coming) => this.#announce(coming))) {
      for (const step of block) {
        const done = this.#perform(step);
        if (done !== undefined) await done;
      }
    }
    await this.#maker.settled();
    for (const entry of this.#finals.drain()) {
      const done = this.#finish(entry);
      if (done !== undefined) await done;
    }
    await this.#maker.settled();
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
      const { cursor } = this.#maker;
      cursor.forget(step.path);
      if (step.do === 'remove') removeFile(cursor.path(parent, name));
      else gone = removeDirectory(cursor.directory(parent), toRaw(name), step.path, this.#isProtected);
    }
    if (!gone && !step.counted) throw cannotReplace(step.path);
    if (!gone || !step.counted) return;
    this.#removed += 1;
    this.#note(step.path, 'remove');
  }

  /** An existing directory above the chosen paths keeps its times; a missing one is made as the target has it. */
  #ancestor(entry: Entry): Later | undefined {
    const stat = this.#maker.stat(entry.path);
    if (stat === undefined) {
      this.#finals.push(entry);
      return { do: 'directory', entry };
    }
    const { xattrs: _, ...rest } = entry;
    const xattrs = this.#options.dryRun === true ? undefined : this.#maker.xattrs(entry.path);
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
    const { path } = step.entry;
    const dry = this.#options.dryRun === true;
    switch (step.do) {
      case 'finish':
        if (step.changed) this.#count(path, 'metadata');
        if (this.#options.blank === true && canStillEnter(step.entry)) return this.#finish(step.entry);
        this.#finals.push(step.entry);
        return;
      case 'link':
        return this.#link(step);
      case 'metadata':
        this.#count(path, 'metadata');
        return dry ? undefined : this.#maker.metadata(step.entry);
      default:
        return dry ? this.#pretend(step) : this.#make(step);
    }
  }

  #pretend({ entry }: MakeStep): undefined {
    this.#count(entry.path, 'write');
    if (entry.type === 'file') this.#writtenBytes += entry.content?.bytes ?? 0;
  }

  #make(step: MakeStep): Promise<void> | undefined {
    const { entry } = step;
    this.#count(entry.path, 'write');
    if (step.do === 'write')
      return entry.type === 'file' ? this.#maker.file(step) : this.#maker.special(entry);
    return this.#maker.directory(entry);
  }

  async #link({ entry, changed }: Extract<Later, { do: 'link' }>): Promise<void> {
    if (this.#options.dryRun === true ? changed : await this.#maker.link(entry))
      this.#count(entry.path, 'write');
  }

  /** Directories are finished once nothing in them changes any more; what is right already is left alone. */
  #finish(entry: Entry): Promise<void> | undefined {
    if (this.#options.dryRun === true) return;
    // Where nothing was before, nothing can be right already.
    if (this.#options.blank === true) return this.#maker.metadata(entry);
    this.#maker.correct(entry);
  }

  readonly #onBytes = (count: number): void => {
    this.#writtenBytes += count;
    this.#options.onProgress(this.#writtenBytes);
  };

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

function cannotReplace(path: string): OverdubError {
  return new OverdubError(
    'CONFLICT',
    `The directory ${path} must make way for something else, but holds kept, excluded or mounted paths.`,
    'Unmount what is below it, or drop the exclude or --keep that protects it.',
  );
}

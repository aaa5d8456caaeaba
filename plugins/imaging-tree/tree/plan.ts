/** Merges what should be with what is, both in manifest order, into steps. Does nothing itself. */

import { type ContentRef, comparePaths, type Entry, OverdubError } from '@overdub/core/agent';
import type { Excluded, Scope } from './excludes.ts';
import { sameMetadata, sameSubstance } from './metadata.ts';
import { isWithin } from './names.ts';

/** One thing to do. Removals come in their own order; `removals-done` says that no more will follow. */
export type Step =
  | { readonly do: 'remove'; readonly path: string; readonly counted: boolean }
  | { readonly do: 'remove-directory'; readonly path: string; readonly counted: boolean }
  | { readonly do: 'removals-done' }
  /** A directory above what was asked for: made when missing, else left as it was. */
  | { readonly do: 'ancestor'; readonly entry: Entry }
  | { readonly do: 'directory'; readonly entry: Entry }
  /** A file, symbolic link or node; `base` is the file's content at present. */
  | { readonly do: 'write'; readonly entry: Entry; readonly base?: ContentRef }
  | { readonly do: 'metadata'; readonly entry: Entry }
  /** `changed` false: the manifests agree, yet the first entry of the group may become a new file. */
  | { readonly do: 'link'; readonly entry: Entry; readonly changed: boolean }
  /** A directory whose content or metadata changed: its metadata is due once nothing in it changes any more. */
  | { readonly do: 'finish'; readonly entry: Entry; readonly changed: boolean };

export interface PlanOptions {
  readonly excluded: Excluded;
  readonly kept: (path: string) => boolean;
  readonly only: Scope;
}

interface Frame {
  readonly entry: Entry;
  readonly changed: boolean;
  touched: boolean;
}

interface Doomed {
  readonly path: string;
  readonly counted: boolean;
}

/** Steps that make `present` equal `target`. */
export async function* planSteps(
  target: AsyncIterable<Entry>,
  present: AsyncIterable<Entry>,
  options: PlanOptions,
): AsyncGenerator<Step> {
  const planner = new Planner(options);
  const wanted = target[Symbol.asyncIterator]();
  const there = present[Symbol.asyncIterator]();
  try {
    let next = await wanted.next();
    let now = await there.next();
    let removalsDone = false;
    while (next.done !== true || now.done !== true) {
      if (now.done === true && !removalsDone) {
        yield* planner.removeDoomed(undefined);
        yield { do: 'removals-done' };
        removalsDone = true;
      }
      const order =
        next.done === true ? 1 : now.done === true ? -1 : comparePaths(next.value.path, now.value.path);
      const entry = order <= 0 ? (next.value as Entry) : undefined;
      const old = order >= 0 ? (now.value as Entry) : undefined;
      yield* planner.step(entry, old);
      if (entry !== undefined) next = await wanted.next();
      if (old !== undefined) now = await there.next();
    }
    yield* planner.removeDoomed(undefined);
    yield* planner.leave(undefined);
    if (!removalsDone) yield { do: 'removals-done' };
  } finally {
    await wanted.return?.();
    await there.return?.();
  }
}

class Planner {
  readonly #options: PlanOptions;
  #frames: Frame[] = [];
  #doomed: Doomed[] = [];

  constructor(options: PlanOptions) {
    this.#options = options;
  }

  *step(entry: Entry | undefined, old: Entry | undefined): Generator<Step> {
    const path = (entry ?? old)?.path as string;
    yield* this.removeDoomed(path);
    yield* this.leave(path);
    const reach = this.#options.only(path);
    if (reach === 'outside' || this.#isProtected(entry) || this.#isProtected(old)) return;
    if (reach === 'ancestor') {
      if (entry?.type === 'directory') yield { do: 'ancestor', entry };
    } else if (entry === undefined) {
      yield* this.#remove(old as Entry, true);
    } else if (old !== undefined && sameSubstance(entry, old)) {
      yield* this.#keepSubstance(entry, old);
    } else {
      if (old !== undefined && (old.type === 'directory') !== (entry.type === 'directory')) {
        yield* this.#remove(old, false);
      }
      yield* this.#write(entry, old);
    }
  }

  /** Directories that were left behind by the walk and have no place in the target. */
  *removeDoomed(path: string | undefined): Generator<Step> {
    for (let last = this.#doomed.at(-1); last !== undefined; last = this.#doomed.at(-1)) {
      if (path !== undefined && isWithin(path, last.path)) return;
      this.#doomed.pop();
      yield { do: 'remove-directory', path: last.path, counted: last.counted };
    }
  }

  /** Target directories that the walk has left. */
  *leave(path: string | undefined): Generator<Step> {
    for (let last = this.#frames.at(-1); last !== undefined; last = this.#frames.at(-1)) {
      if (path !== undefined && isWithin(path, last.entry.path)) return;
      this.#frames.pop();
      if (last.touched) yield { do: 'finish', entry: last.entry, changed: last.changed };
    }
  }

  #isProtected(entry: Entry | undefined): boolean {
    if (entry === undefined) return false;
    return this.#options.excluded(entry.path, entry.type === 'directory') || this.#options.kept(entry.path);
  }

  #touchParent(): void {
    const parent = this.#frames.at(-1);
    if (parent !== undefined) parent.touched = true;
  }

  *#remove(old: Entry, counted: boolean): Generator<Step> {
    this.#touchParent();
    if (old.type === 'directory') this.#doomed.push({ path: old.path, counted });
    else yield { do: 'remove', path: old.path, counted };
  }

  *#keepSubstance(entry: Entry, old: Entry): Generator<Step> {
    const same = sameMetadata(entry, old);
    if (entry.type === 'directory') {
      this.#frames.push({ entry, changed: !same, touched: !same });
    } else if (entry.type === 'hardlink') {
      // Its first entry may be about to become a new file: compared on disk, then.
      this.#touchParent();
      yield { do: 'link', entry: this.#checkedLink(entry), changed: false };
    } else if (!same) {
      yield { do: 'metadata', entry };
    }
  }

  *#write(entry: Entry, old: Entry | undefined): Generator<Step> {
    this.#touchParent();
    if (entry.type === 'directory') {
      yield { do: 'directory', entry };
      this.#frames.push({ entry, changed: false, touched: true });
    } else if (entry.type === 'hardlink') {
      yield { do: 'link', entry: this.#checkedLink(entry), changed: true };
    } else {
      yield { do: 'write', entry, ...(old?.content === undefined ? {} : { base: old.content }) };
    }
  }

  #checkedLink(entry: Entry): Entry {
    const first = entry.target ?? '';
    if (this.#options.only(first) === 'inside') return entry;
    throw new OverdubError(
      'INPUT_INVALID',
      `${entry.path} is a hard link to ${first}, which is not among the chosen paths.`,
      `Choose ${first} too.`,
    );
  }
}

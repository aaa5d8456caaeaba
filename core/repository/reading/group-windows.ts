import { release } from '../../domain/release.ts';

/** Read at a time of a group of which one part was needed after another: mostly all of it, half a megabyte and its last part. */
const AHEAD_BYTES = 768 * 1024;
/** Between two parts of a group that are needed one after another. */
const GAP_BYTES = 16 * 1024;

/** A group that is not compressed, so that parts of it can be read by themselves. */
export interface PlainGroup {
  readonly name: string;
  readonly bytes: number;
  /** In a buffer that is nobody else's. */
  read(from: number, length: number): Promise<Uint8Array>;
}

/** A part of a group, lent until it is given back: its bytes may be freed then. */
export interface LentPart {
  readonly bytes: Uint8Array;
  giveBack(): void;
}

/** A stretch of a group, from `from` to `to` of it. It is freed once it is kept no longer, and nobody uses it. */
class Window {
  readonly from: number;
  readonly to: number;
  readonly #bytes: Uint8Array;
  #users = 0;
  #isLeft = false;

  constructor(from: number, to: number, bytes: Uint8Array) {
    this.from = from;
    this.to = to;
    this.#bytes = bytes;
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** Does it hold what lies there, and is it still kept? */
  holds(at: number, end: number): boolean {
    return !this.#isLeft && at >= this.from && end <= this.to;
  }

  lend(at: number, end: number): LentPart {
    this.#users += 1;
    let isBack = false;
    const giveBack = () => {
      if (isBack) return;
      isBack = true;
      this.#users -= 1;
      this.#freeUnused();
    };
    return { bytes: this.#bytes.subarray(at - this.from, end - this.from), giveBack };
  }

  /** From now on it is kept for nobody. */
  leave(): void {
    this.#isLeft = true;
    this.#freeUnused();
  }

  #freeUnused(): void {
    if (this.#isLeft && this.#users === 0) release(this.#bytes);
  }
}

interface Kept {
  /** Requests for a group wait for one another, so that what the first one reads serves the second. */
  latest?: Promise<unknown>;
  window?: Window;
}

/**
 * Of each group what was read last. Chunks one behind another need parts of the same groups one behind another: these are
 * read ahead. A chunk that changed less often than its neighbours needs one part each of groups that they do not need.
 */
export class GroupWindows {
  /** What was used last is last. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;
  #capacity = 0;

  /** How much is kept, bytes. */
  resize(capacity: number): void {
    this.#capacity = capacity;
    this.#evict();
  }

  /** `length` bytes at `at` of the group. */
  async read(group: PlainGroup, at: number, length: number): Promise<LentPart> {
    const kept: Kept = this.#kept.get(group.name) ?? {};
    this.#kept.delete(group.name);
    this.#kept.set(group.name, kept);
    const part = this.#part(group, kept, at, at + length, kept.latest);
    kept.latest = part;
    return await part;
  }

  /** Keeps nothing of what there is, also of what is still being read. */
  clear(): void {
    for (const name of this.#kept.keys()) this.#drop(name);
  }

  async #part(group: PlainGroup, kept: Kept, at: number, end: number, before?: Promise<unknown>) {
    // Who asked for what failed is told; here it is tried anew.
    await before?.catch(() => undefined);
    if (kept.window?.holds(at, end)) return kept.window.lend(at, end);
    const to = endOfStretch(group, at, end, kept.window);
    const window = new Window(at, to, await group.read(at, to - at));
    const part = window.lend(at, end);
    this.#keep(group.name, kept, window);
    return part;
  }

  /** In place of the one before. */
  #keep(name: string, kept: Kept, window: Window): void {
    if (this.#kept.get(name) !== kept) {
      window.leave();
      return;
    }
    this.#bytes += window.length - (kept.window?.length ?? 0);
    kept.window?.leave();
    kept.window = window;
    this.#evict();
  }

  #evict(): void {
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#capacity) return;
      this.#drop(oldest);
    }
  }

  #drop(name: string): void {
    const window = this.#kept.get(name)?.window;
    this.#kept.delete(name);
    this.#bytes -= window?.length ?? 0;
    window?.leave();
  }
}

/**
 * How far a group is read for a part of it. What lies behind is likely to be needed next at the beginning, and behind the window before:
 * what that has of the part is read again, which costs less than to copy it.
 */
function endOfStretch({ bytes }: PlainGroup, at: number, end: number, before: Window | undefined): number {
  const goesOn = before !== undefined && at >= before.from && at <= before.to + GAP_BYTES;
  if (!goesOn && at > 0) return end;
  // Who asked out of turn has what lies there.
  const limit = before !== undefined && before.from >= end ? before.from : bytes;
  return Math.max(end, Math.min(limit, at + AHEAD_BYTES));
}

/** What may come to be kept of a group when parts of this length are read. */
export function windowBytes(group: PlainGroup, length: number): number {
  return Math.min(group.bytes, AHEAD_BYTES + length);
}

/** Read at a time of a group of which one part was needed after another. */
const AHEAD_BYTES = 256 * 1024;
/** Between two parts of a group: what is read along rather than jumped over. */
const GAP_BYTES = 16 * 1024;

/** A group that is not compressed, so that parts of it can be read by themselves. */
export interface PlainGroup {
  readonly name: string;
  readonly bytes: number;
  read(from: number, length: number): Promise<Uint8Array>;
}

/** A stretch of a group. */
interface Window {
  readonly from: number;
  readonly to: number;
  readonly bytes: Uint8Array;
}

interface Kept {
  /** Requests for a group wait for one another, so that what the first one reads serves the second. */
  latest?: Promise<Window>;
  bytes: number;
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

  /** `length` bytes at `at` of the group; may be shared. */
  async read(group: PlainGroup, at: number, length: number): Promise<Uint8Array> {
    const kept = this.#kept.get(group.name) ?? { bytes: 0 };
    this.#kept.delete(group.name);
    this.#kept.set(group.name, kept);
    kept.latest = windowWith(group, at, at + length, kept.latest);
    const { from, bytes } = await kept.latest;
    if (this.#kept.get(group.name) === kept) {
      this.#bytes += bytes.length - kept.bytes;
      kept.bytes = bytes.length;
      this.#evict();
    }
    return bytes.subarray(at - from, at - from + length);
  }

  /** Keeps nothing of what there is, also of what is still being read. */
  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }

  #evict(): void {
    for (const [name, { bytes }] of this.#kept) {
      if (this.#bytes <= this.#capacity) return;
      this.#kept.delete(name);
      this.#bytes -= bytes;
    }
  }
}

/** The window before, where it holds what is needed; widened, where that is near. */
async function windowWith(
  group: PlainGroup,
  at: number,
  end: number,
  before: Promise<Window> | undefined,
): Promise<Window> {
  // Who asked for what failed is told; here it is tried anew.
  const kept = await before?.catch(() => undefined);
  const near = kept !== undefined && at >= kept.from && at <= kept.to + GAP_BYTES ? kept : undefined;
  if (near !== undefined && end <= near.to) return near;
  const from = near === undefined ? at : Math.min(at, near.to);
  const start = near?.to ?? at;
  // Who begins at the beginning goes on as well.
  const goesOn = near !== undefined || at === 0;
  const to = goesOn ? Math.max(end, Math.min(group.bytes, start + AHEAD_BYTES)) : end;
  const more = await group.read(start, to - start);
  const bytes = near === undefined ? more : Buffer.concat([near.bytes.subarray(from - near.from), more]);
  return { from, to, bytes };
}

/** What may come to be kept of a group when parts of this length are read. */
export function windowBytes(group: PlainGroup, length: number): number {
  return Math.min(group.bytes, AHEAD_BYTES + length);
}

/** Where the target repeats the base: blocks found by a rolling hash, grown both ways. */

export interface Match {
  /** Offset in the target. */
  readonly at: number;
  /** Offset in the base. */
  readonly from: number;
  readonly length: number;
}

const BLOCK = 32;
const FACTOR = 0x01000193;
/** FACTOR to the power of BLOCK - 1, modulo 2³²: what the byte that leaves the window counts. */
const LEAVING = Array.from({ length: BLOCK - 1 }).reduce<number>((power) => Math.imul(power, FACTOR), 1);

/** Matches in target order, none overlapping. */
export function* matches(base: Uint8Array, target: Uint8Array): Generator<Match, void, undefined> {
  const blocks = indexOf(base);
  let done = 0;
  let hash = hashAt(target, 0);
  for (let at = 0; at + BLOCK <= target.length; ) {
    const match = grow(base, target, { at, from: blocks.get(hash) ?? -1, length: 0 }, done);
    if (match !== undefined) {
      yield match;
      done = match.at + match.length;
      at = done;
      hash = hashAt(target, at);
    } else {
      hash = roll(hash, target[at] as number, target[at + BLOCK] ?? 0);
      at += 1;
    }
  }
}

function indexOf(base: Uint8Array): ReadonlyMap<number, number> {
  const blocks = new Map<number, number>();
  for (let at = 0; at + BLOCK <= base.length; at += BLOCK) {
    const hash = hashAt(base, at);
    if (!blocks.has(hash)) blocks.set(hash, at);
  }
  return blocks;
}

/** The whole match around one block; `undefined` when only the hashes agree. */
function grow(base: Uint8Array, target: Uint8Array, { at, from }: Match, done: number): Match | undefined {
  if (from === -1) return undefined;
  let length = 0;
  while (
    from + length < base.length &&
    at + length < target.length &&
    base[from + length] === target[at + length]
  ) {
    length += 1;
  }
  if (length < BLOCK) return undefined;
  let before = 0;
  while (before < from && at - before > done && base[from - before - 1] === target[at - before - 1])
    before += 1;
  return { at: at - before, from: from - before, length: length + before };
}

function hashAt(bytes: Uint8Array, start: number): number {
  let hash = 0;
  for (let at = start; at < start + BLOCK; at++) hash = (Math.imul(hash, FACTOR) + (bytes[at] ?? 0)) | 0;
  return hash;
}

function roll(hash: number, leaving: number, entering: number): number {
  return (Math.imul(hash - Math.imul(leaving, LEAVING), FACTOR) + entering) | 0;
}

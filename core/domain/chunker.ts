/**
 * Cuts content by content, so that an insertion moves one boundary and not all of them: FastCDC (Xia et al.,
 * USENIX ATC 2016) with a 32-bit gear hash and normalised chunking. Appliance and agent cut alike, which is
 * what makes equal contents share chunks; boundaries may change between versions without hurting old data,
 * because every content records its own.
 */

/** Lengths in bytes. A content of at most `min` bytes is always one chunk. */
export const CHUNK_LIMITS = { min: 256 * 1024, average: 1024 * 1024, max: 8 * 1024 * 1024 } as const;

/** The gear hash forgets a byte after this many more. */
const WINDOW = 32;
/**
 * Before `average` a cut needs 22 zero bits, after it 18: lengths gather around the average. The top bit is
 * left out so that the test can be made on the hash shifted by one, two bytes a turn.
 */
const STRICT_MASK = 0x7ffffe00;
const LOOSE_MASK = 0x7fffe000;
const GEAR = gearTable();
const GEAR_SHIFTED = GEAR.map((word) => word << 1);

/** 256 fixed pseudo-random words (mulberry32, seed 0x0D0B0D0B): part of what makes two sides cut alike. */
function gearTable(): Int32Array {
  const table = new Int32Array(256);
  let state = 0x0d0b0d0b;
  for (let at = 0; at < table.length; at++) {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    table[at] = word ^ (word >>> 14);
  }
  return table;
}

/** Where a roll ended (behind the cut, if it found one), and the hash there. */
interface Roll {
  at: number;
  hash: number;
}

/** Rolls the hash over bytes[at, end) until `mask` matches; whether it did. Two bytes a turn: twice as fast as one (measured). */
function roll(
  bytes: Uint8Array,
  gear: Int32Array,
  shifted: Int32Array,
  state: Roll,
  end: number,
  mask: number,
): boolean {
  let hash = state.hash;
  let at = state.at;
  const shiftedMask = mask << 1;
  for (; at + 1 < end; at += 2) {
    hash = ((hash << 2) + (shifted[bytes[at] as number] as number)) | 0;
    if ((hash & shiftedMask) === 0) return settle(state, at + 1, hash, true);
    hash = (hash + (gear[bytes[at + 1] as number] as number)) | 0;
    if ((hash & mask) === 0) return settle(state, at + 2, hash, true);
  }
  if (at < end) {
    hash = ((hash << 1) + (gear[bytes[at] as number] as number)) | 0;
    at += 1;
    if ((hash & mask) === 0) return settle(state, at, hash, true);
  }
  return settle(state, at, hash, false);
}

function settle(state: Roll, at: number, hash: number, found: boolean): boolean {
  state.at = at;
  state.hash = hash;
  return found;
}

/** Finds boundaries in a stream that arrives in pieces of any length. One instance a stream; keeps no bytes. */
export class CutScanner {
  readonly #roll: Roll = { at: 0, hash: 0 };
  #length = 0;

  /**
   * Looks at `bytes` from `from` on. Returns the index just behind the end of the current chunk, or -1 when
   * the chunk goes on behind `bytes`. After a cut the next call begins a new chunk.
   */
  scan(bytes: Uint8Array, from: number): number {
    const state = this.#roll;
    const origin = from - this.#length;
    const end = Math.min(bytes.length, origin + CHUNK_LIMITS.max);
    state.at = Math.min(end, Math.max(from, origin + CHUNK_LIMITS.min - WINDOW));
    for (; state.at < Math.min(end, origin + CHUNK_LIMITS.min); state.at++) {
      state.hash = ((state.hash << 1) + (GEAR[bytes[state.at] as number] as number)) | 0;
    }
    const strictEnd = Math.min(end, origin + CHUNK_LIMITS.average);
    const found =
      (state.at < strictEnd && roll(bytes, GEAR, GEAR_SHIFTED, state, strictEnd, STRICT_MASK)) ||
      roll(bytes, GEAR, GEAR_SHIFTED, state, end, LOOSE_MASK);
    if (found || state.at - origin >= CHUNK_LIMITS.max) return this.#cut(state.at);
    this.#length = state.at - origin;
    return -1;
  }

  /**
   * Takes bytes[from, to) as part of the current chunk without looking for a boundary; `ends` it there, or lets it go on.
   * Returns what {@link scan} would: `to`, or -1.
   */
  pass(bytes: Uint8Array, from: number, to: number, ends: boolean): number {
    if (ends) return this.#cut(to);
    this.#length += to - from;
    const state = this.#roll;
    for (let at = Math.max(from, to - WINDOW); at < to; at++)
      state.hash = ((state.hash << 1) + (GEAR[bytes[at] as number] as number)) | 0;
    return -1;
  }

  #cut(at: number): number {
    this.#roll.hash = 0;
    this.#length = 0;
    return at;
  }
}

/** Cuts a stream. Every chunk yielded owns its bytes; an empty stream yields nothing. */
export async function* chunkStream(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  for await (const view of chunkViews(source)) yield Uint8Array.prototype.slice.call(view);
}

/**
 * Like {@link chunkStream}, but what is yielded is good only until the next chunk is asked for: nothing is
 * allocated for chunks that turn out to be known. Pieces of `source` must stay as they are as long.
 */
export async function* chunkViews(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const scanner = new CutScanner();
  let assembly: Uint8Array = new Uint8Array(0);
  let held = 0;
  for await (const piece of source) {
    let from = 0;
    while (from < piece.length) {
      const cut = scanner.scan(piece, from);
      const part = piece.subarray(from, cut === -1 ? piece.length : cut);
      from += part.length;
      if (cut !== -1 && held === 0) {
        yield part;
        continue;
      }
      assembly = roomFor(assembly, held, part.length);
      assembly.set(part, held);
      held += part.length;
      if (cut === -1) continue;
      yield assembly.subarray(0, held);
      held = 0;
    }
  }
  if (held > 0) yield assembly.subarray(0, held);
}

/** `buffer`, or a larger one with the same first `held` bytes; it doubles, up to the largest chunk. */
function roomFor(buffer: Uint8Array, held: number, more: number): Uint8Array {
  if (held + more <= buffer.length) return buffer;
  const larger = Buffer.allocUnsafeSlow(Math.min(CHUNK_LIMITS.max, Math.max(held + more, 2 * buffer.length)));
  larger.set(buffer.subarray(0, held));
  return larger;
}

/**
 * Super-features: a few numbers by which chunks that resemble one another are found, wherever they come from (Odess,
 * Zou et al., ICDCS 2021; grouped as in Finesse, Zhang et al., FAST 2019). A rolling gear hash picks about one
 * position in 128; of each picked hash several linear functions are taken, and the largest value of each is a
 * feature. Chunks that share most of their content share most features; four features together are a super-feature,
 * so that one in common means a likely resemblance and not a chance.
 */

/** Numbers for each chunk: sharing one is enough. */
export const SUPER_FEATURES = 3;
const FEATURES_EACH = 4;
/**
 * The beginning of a chunk speaks for all of it: chunks begin where their content says. A megabyte of each finds half as much again, but
 * costs a second of a first overlay's ten; what it would find, optimising finds (docs/overlays.md).
 */
const LOOKED_AT_BYTES = 256 * 1024;
const FEATURES = SUPER_FEATURES * FEATURES_EACH;
/** One position in 128: seven high bits, where the gear hash has seen the most bytes. */
const SAMPLE_MASK = 0xfe000000 | 0;

/** splitmix32 from a fixed seed: part of what makes two runs find the same. */
export function randomWords(count: number, seed: number): Int32Array {
  const words = new Int32Array(count);
  let state = seed;
  for (let at = 0; at < count; at++) {
    state = (state + 0x9e3779b9) | 0;
    let word = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
    words[at] = word ^ (word >>> 15);
  }
  return words;
}

const GEAR = randomWords(256, 0x0d155e55);
const MULTIPLIERS = randomWords(FEATURES, 0x5eed0001).map((word) => word | 1);
const ADDENDS = randomWords(FEATURES, 0x5eed0002);

/** The super-features of a chunk, each an unsigned 32-bit number; none when it holds too little to tell. */
export function superFeatures(chunk: Uint8Array): readonly number[] {
  const bytes = chunk.subarray(0, LOOKED_AT_BYTES);
  const largest = new Int32Array(FEATURES).fill(LEAST);
  const sampled = sample(bytes, largest);
  return sampled < FEATURES ? [] : grouped(new Uint32Array(largest.map((value) => value ^ SIGN).buffer));
}

/** Where picked hashes gather: each function then runs over many at a time, in registers. */
const picked = new Int32Array(4096);
/** Unsigned numbers with this bit flipped compare as signed ones do, which V8 keeps as plain integers. */
const SIGN = 0x80000000 | 0;
const LEAST = SIGN;
/** A hash of 32 bits that moves one bit a byte has forgotten what lies this far back. */
const REACH = 32;

/**
 * Raises `largest` by every picked hash, and counts them. Four places of the chunk are hashed in turns, since each step
 * waits for the one before: nearly twice as fast, and the same hashes as one after another.
 */
function sample(bytes: Uint8Array, largest: Int32Array): number {
  const quarter = bytes.length >>> 2;
  let first = 0;
  let second = hashBefore(bytes, quarter);
  let third = hashBefore(bytes, 2 * quarter);
  let fourth = hashBefore(bytes, 3 * quarter);
  let count = 0;
  let sampled = 0;
  for (let at = 0; at < quarter; at++) {
    first = step(first, bytes[at] as number);
    second = step(second, bytes[at + quarter] as number);
    third = step(third, bytes[at + 2 * quarter] as number);
    fourth = step(fourth, bytes[at + 3 * quarter] as number);
    if ((first & SAMPLE_MASK) === 0) picked[count++] = first;
    if ((second & SAMPLE_MASK) === 0) picked[count++] = second;
    if ((third & SAMPLE_MASK) === 0) picked[count++] = third;
    if ((fourth & SAMPLE_MASK) === 0) picked[count++] = fourth;
    if (count < picked.length - 8) continue;
    sampled += count;
    raise(largest, count);
    count = 0;
  }
  for (let at = 4 * quarter; at < bytes.length; at++) {
    fourth = step(fourth, bytes[at] as number);
    if ((fourth & SAMPLE_MASK) === 0) picked[count++] = fourth;
  }
  raise(largest, count);
  return sampled + count;
}

function step(hash: number, byte: number): number {
  return ((hash << 1) + (GEAR[byte] as number)) | 0;
}

function hashBefore(bytes: Uint8Array, end: number): number {
  let hash = 0;
  for (let at = Math.max(0, end - REACH); at < end; at++) hash = step(hash, bytes[at] as number);
  return hash;
}

function raise(largest: Int32Array, count: number): void {
  for (let feature = 0; feature < FEATURES; feature++) {
    const multiplier = MULTIPLIERS[feature] as number;
    const addend = ADDENDS[feature] as number;
    let top = largest[feature] as number;
    for (let at = 0; at < count; at++) {
      const value = (Math.imul(picked[at] as number, multiplier) + addend) ^ SIGN;
      if (value > top) top = value;
    }
    largest[feature] = top;
  }
}

/** Four features, mixed into one word (FNV-1a over words); its place is part of it. */
function grouped(features: Uint32Array): number[] {
  const groups: number[] = [];
  for (let group = 0; group < SUPER_FEATURES; group++) {
    let word = (0x811c9dc5 ^ group) | 0;
    for (let at = 0; at < FEATURES_EACH; at++) {
      word = Math.imul(word ^ (features[group * FEATURES_EACH + at] as number), 0x01000193);
      word ^= word >>> 15;
    }
    groups.push(word >>> 0);
  }
  return groups;
}

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
/** The beginning of a chunk speaks for all of it: chunks begin where their content says. */
const LOOKED_AT_BYTES = 1024 * 1024;
const FEATURES = SUPER_FEATURES * FEATURES_EACH;
/** One position in 128: seven high bits, where the gear hash has seen the most bytes. */
const SAMPLE_MASK = 0xfe000000 | 0;

/** splitmix32 from a fixed seed: part of what makes two runs find the same. */
function randomWords(count: number, seed: number): Int32Array {
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
  const largest = new Uint32Array(FEATURES);
  let sampled = 0;
  let hash = 0;
  for (let at = 0; at < bytes.length; at++) {
    hash = ((hash << 1) + (GEAR[bytes[at] as number] as number)) | 0;
    if ((hash & SAMPLE_MASK) !== 0) continue;
    sampled += 1;
    raise(largest, hash);
  }
  return sampled < FEATURES ? [] : grouped(largest);
}

function raise(largest: Uint32Array, hash: number): void {
  for (let at = 0; at < FEATURES; at++) {
    const value = (Math.imul(hash, MULTIPLIERS[at] as number) + (ADDENDS[at] as number)) >>> 0;
    if (value > (largest[at] as number)) largest[at] = value;
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

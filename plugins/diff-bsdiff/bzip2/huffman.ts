/** Canonical Huffman codes. */

import type { BitReader } from './bits.ts';
import { MAX_CODE_BITS } from './format.ts';

const LONGEST_WRITTEN = 17;

/** Code lengths, 1 to 17 bits, for symbols of these frequencies; a symbol that never occurs has one too. */
export function codeLengths(frequencies: readonly number[]): Uint8Array {
  let weights = frequencies.map((frequency) => Math.max(1, frequency));
  for (;;) {
    const lengths = unlimitedLengths(weights);
    if (lengths.every((length) => length <= LONGEST_WRITTEN)) return lengths;
    weights = weights.map((weight) => 1 + Math.floor(weight / 2));
  }
}

/** Two queues: leaves by weight, and joined nodes, which come out by weight anyway. */
function unlimitedLengths(weights: readonly number[]): Uint8Array {
  const count = weights.length;
  const leaves = weights
    .map((_, symbol) => symbol)
    .sort((a, b) => (weights[a] as number) - (weights[b] as number) || a - b);
  const parents = new Int32Array(2 * count);
  const joined: number[] = [];
  let leaf = 0;
  let node = 0;
  const weightOf = (id: number): number =>
    id < count ? (weights[id] as number) : (joined[id - count] as number);
  const lightest = (): number => {
    const takeLeaf =
      leaf < count && (node >= joined.length || weightOf(leaves[leaf] as number) <= (joined[node] as number));
    return takeLeaf ? (leaves[leaf++] as number) : count + node++;
  };
  for (let made = 0; made < count - 1; made++) {
    const a = lightest();
    const b = lightest();
    parents[a] = parents[b] = count + made;
    joined.push(weightOf(a) + weightOf(b));
  }
  const depths = new Uint8Array(2 * count);
  for (let id = 2 * count - 3; id >= 0; id--) depths[id] = (depths[parents[id] as number] as number) + 1;
  return depths.slice(0, count);
}

/** The code of each symbol: shorter codes first, then by symbol. */
export function codesOf(lengths: Uint8Array): Uint32Array {
  const codes = new Uint32Array(lengths.length);
  let code = 0;
  for (let length = 1; length <= MAX_CODE_BITS; length++) {
    for (let symbol = 0; symbol < lengths.length; symbol++)
      if (lengths[symbol] === length) codes[symbol] = code++;
    code <<= 1;
  }
  return codes;
}

/** Reads the symbols of one table. */
export class HuffmanTable {
  /** Per length: the first code that is longer, left-aligned to the length, and where its symbols begin. */
  readonly #limits = new Int32Array(MAX_CODE_BITS + 1).fill(-1);
  readonly #offsets = new Int32Array(MAX_CODE_BITS + 1);
  readonly #symbols: Uint16Array;
  readonly #shortest: number;

  constructor(lengths: Uint8Array) {
    this.#symbols = new Uint16Array(lengths.length);
    this.#shortest = Math.min(...lengths);
    let code = 0;
    let at = 0;
    for (let length = 1; length <= MAX_CODE_BITS; length++) {
      this.#offsets[length] = at - code;
      for (let symbol = 0; symbol < lengths.length; symbol++) {
        if (lengths[symbol] !== length) continue;
        this.#symbols[at++] = symbol;
        code++;
      }
      this.#limits[length] = code - 1;
      code <<= 1;
    }
  }

  /** The next symbol; -1 where the bits are no code of this table. */
  read(bits: BitReader): number {
    let length = this.#shortest;
    let code = bits.get(length);
    while (code > (this.#limits[length] as number)) {
      if (length === MAX_CODE_BITS) return -1;
      code = (code << 1) | bits.get(1);
      length++;
    }
    return this.#symbols[code + (this.#offsets[length] as number)] ?? -1;
  }
}

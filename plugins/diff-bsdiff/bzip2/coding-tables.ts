/** Chooses the Huffman tables of a block: each group of fifty symbols takes the one that suits it best. */

import { GROUP_SYMBOLS, MAX_TABLES } from './format.ts';
import { codeLengths } from './huffman.ts';

const ROUNDS = 4;
/** A table's first guess: cheap for its own stretch of symbols, dear for the others. */
const CHEAP_BITS = 1;
const DEAR_BITS = 15;

export interface CodingTables {
  /** Code lengths by symbol, 2 to 6 tables. */
  readonly tables: readonly Uint8Array[];
  /** Table of each group. */
  readonly selectors: Uint8Array;
}

export function codingTables(symbols: Uint16Array, alphabet: number): CodingTables {
  const count = tableCount(symbols.length);
  let tables = firstTables(symbols, alphabet, count);
  const selectors = new Uint8Array(Math.ceil(symbols.length / GROUP_SYMBOLS));
  for (let round = 0; round < ROUNDS; round++) {
    const frequencies = tables.map(() => new Array<number>(alphabet).fill(0));
    for (let group = 0; group < selectors.length; group++) {
      const part = symbols.subarray(group * GROUP_SYMBOLS, (group + 1) * GROUP_SYMBOLS);
      const chosen = cheapest(tables, part);
      selectors[group] = chosen;
      const counts = frequencies[chosen] as number[];
      for (const symbol of part) counts[symbol] = (counts[symbol] as number) + 1;
    }
    tables = frequencies.map(codeLengths);
  }
  return { tables, selectors };
}

function tableCount(symbols: number): number {
  if (symbols < 200) return 2;
  if (symbols < 600) return 3;
  if (symbols < 1200) return 4;
  return symbols < 2400 ? 5 : MAX_TABLES;
}

/** Cuts the alphabet into stretches of about equal frequency, one for each table. */
function firstTables(symbols: Uint16Array, alphabet: number, count: number): readonly Uint8Array[] {
  const frequencies = new Uint32Array(alphabet);
  for (const symbol of symbols) frequencies[symbol] = (frequencies[symbol] as number) + 1;
  let left = symbols.length;
  let from = 0;
  return Array.from({ length: count }, (_, table) => {
    const share = left / (count - table);
    let to = from;
    let taken = 0;
    while (to < alphabet && (taken < share || to === from)) taken += frequencies[to++] as number;
    const lengths = new Uint8Array(alphabet).fill(DEAR_BITS);
    lengths.fill(CHEAP_BITS, from, to);
    left -= taken;
    from = to;
    return lengths;
  });
}

function cheapest(tables: readonly Uint8Array[], part: Uint16Array): number {
  let best = 0;
  let bestBits = Number.POSITIVE_INFINITY;
  for (const [table, lengths] of tables.entries()) {
    let bits = 0;
    for (let i = 0; i < part.length; i++) bits += lengths[part[i] as number] as number;
    if (bits >= bestBits) continue;
    best = table;
    bestBits = bits;
  }
  return best;
}

/** From a block's bytes to the symbols that are written: Burrows-Wheeler, move to front, run lengths. */

import { suffixArray } from '../suffix-array.ts';
import { RUN_A, RUN_B } from './format.ts';

export interface BlockSymbols {
  /** Row of the sorted rotations at which the block itself stands. */
  readonly origin: number;
  /** Byte values that occur, ascending. */
  readonly used: readonly number[];
  /** Runs of zeros, positions + 1, and at the end the end-of-block symbol. */
  readonly symbols: Uint16Array;
}

/** `block` has at least one byte. */
export function blockSymbols(block: Uint8Array): BlockSymbols {
  const { last, origin } = burrowsWheeler(block);
  const seen = new Uint8Array(256);
  for (const byte of block) seen[byte] = 1;
  const used = [...seen.keys()].filter((byte) => seen[byte] === 1);
  return { origin, used, symbols: moveToFront(last, used) };
}

/** Last column of the sorted rotations. The suffixes of the block written twice are in the rotations' order. */
function burrowsWheeler(block: Uint8Array): { readonly last: Uint8Array; readonly origin: number } {
  const length = block.length;
  const twice = new Uint8Array(2 * length);
  twice.set(block);
  twice.set(block, length);
  const order = suffixArray(twice);
  const last = new Uint8Array(length);
  let origin = 0;
  let row = 0;
  for (let i = 0; i < order.length; i++) {
    const start = order[i] as number;
    if (start >= length) continue;
    if (start === 0) origin = row;
    last[row++] = block[start === 0 ? length - 1 : start - 1] as number;
  }
  return { last, origin };
}

function moveToFront(last: Uint8Array, used: readonly number[]): Uint16Array {
  const front = Uint8Array.from(used);
  const symbols = new Uint16Array(last.length + 1);
  let count = 0;
  let zeros = 0;
  const endRun = (): void => {
    for (let left = zeros; left > 0; left = (left - 1) >> 1)
      symbols[count++] = (left & 1) === 1 ? RUN_A : RUN_B;
    zeros = 0;
  };
  for (let i = 0; i < last.length; i++) {
    const byte = last[i] as number;
    if (front[0] === byte) {
      zeros++;
      continue;
    }
    endRun();
    const position = front.indexOf(byte);
    front.copyWithin(1, 0, position);
    front[0] = byte;
    symbols[count++] = position + 1;
  }
  endRun();
  symbols[count++] = used.length + 1;
  return symbols.subarray(0, count);
}

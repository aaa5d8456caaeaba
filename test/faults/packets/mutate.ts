/** Broken packets out of good ones, the same ones for the same seed. */

import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** How many packets each run of a test sends: a few seconds' worth, or what OVERDUB_FUZZ_PACKETS says. */
export const PACKETS = Number(process.env.OVERDUB_FUZZ_PACKETS ?? 40_000);

/** Numbers from 0 up to, not including, 1 (a 32-bit xorshift). */
export type Random = () => number;

/** A seeded generator: a failing packet can be made again. */
export function random(seed: number): Random {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

/** One of a list. */
export function pick<T>(list: readonly T[], next: Random): T {
  return list[Math.floor(next() * list.length)] as T;
}

/** Values at which lengths, codes and counts change their meaning. */
const EDGES = [0, 1, 2, 3, 4, 5, 6, 16, 52, 53, 54, 60, 82, 127, 128, 254, 255];

/** One to four changes to a copy of a good packet; one in fifty is noise from its first byte on. */
export function mutated(seeds: readonly Uint8Array[], next: Random): Uint8Array {
  if (next() < 0.02) return noise(Math.floor(next() * 700), next);
  let bytes: Uint8Array = Uint8Array.from(pick(seeds, next));
  for (let changes = 1 + Math.floor(next() * 4); changes > 0; changes--) {
    bytes = pick(CHANGES, next)(bytes, next, seeds);
  }
  return bytes;
}

type Change = (bytes: Uint8Array, next: Random, seeds: readonly Uint8Array[]) => Uint8Array;
const at = (bytes: Uint8Array, next: Random): number => Math.floor(next() * (bytes.length + 1));

const CHANGES: readonly Change[] = [
  function flipBit(bytes, next) {
    const where = at(bytes, next);
    if (where < bytes.length) bytes[where] = (bytes[where] as number) ^ (1 << Math.floor(next() * 8));
    return bytes;
  },
  function setEdge(bytes, next) {
    const where = at(bytes, next);
    if (where < bytes.length) bytes[where] = pick(EDGES, next);
    return bytes;
  },
  function cut(bytes, next) {
    return bytes.slice(0, at(bytes, next));
  },
  function insert(bytes, next) {
    const where = at(bytes, next);
    const more = noise(Math.floor(next() * 20), next);
    return Buffer.concat([bytes.subarray(0, where), more, bytes.subarray(where)]);
  },
  function remove(bytes, next) {
    const where = at(bytes, next);
    return Buffer.concat([bytes.subarray(0, where), bytes.subarray(where + Math.floor(next() * 20))]);
  },
  function repeat(bytes, next) {
    const [from, length] = [at(bytes, next), Math.floor(next() * 40)];
    const piece = bytes.subarray(from, from + length);
    return Buffer.concat([bytes.subarray(0, from), piece, bytes.subarray(from)]);
  },
  function splice(bytes, next, seeds) {
    const other = pick(seeds, next);
    const where = at(bytes, next);
    return Buffer.concat([bytes.subarray(0, where), other.subarray(where)]);
  },
];

function noise(length: number, next: Random): Uint8Array {
  return Uint8Array.from({ length }, () => Math.floor(next() * 256));
}

/** Bytes alive on the heap and in buffers, after two collections. */
export function liveBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Open descriptors of this process. */
export function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

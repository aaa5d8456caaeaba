/** One block of a bzip2 stream: read whole, its bytes then given out in pieces. */

import type { BitReader } from './bits.ts';
import { CRC_START, crcOf } from './crc.ts';
import { GROUP_SYMBOLS, MAX_CODE_BITS, MAX_SELECTORS, MAX_TABLES, RUN_B } from './format.ts';
import { HuffmanTable } from './huffman.ts';

const RUN_MARK = 4;

/** A block that no bzip2 would write. */
export class BadBlock extends Error {}

/** Reads what follows a block's magic. `maxBytes` bounds the block before its runs grow. */
export function readBlock(bits: BitReader, maxBytes: number): BlockContent {
  const crc = bits.get32();
  if (bits.bit()) throw new BadBlock('it is randomised, as no bzip2 writes since 1997');
  const origin = bits.get(24);
  const used = readUsed(bits);
  const tableCount = bits.get(3);
  const groups = bits.get(15);
  if (tableCount < 2 || tableCount > MAX_TABLES || groups < 1)
    throw new BadBlock('its tables are miscounted');
  const selectors = readSelectors(bits, tableCount, groups);
  const tables = Array.from({ length: tableCount }, () => readTable(bits, used.length + 2));
  const links = new Uint32Array(maxBytes);
  const length = readSymbols(bits, { used, selectors, tables }, links);
  if (origin >= length) throw new BadBlock('it starts outside itself');
  return new BlockContent(linked(links.subarray(0, length)), origin, crc);
}

function readUsed(bits: BitReader): Uint8Array {
  const parts = bits.get(16);
  const used: number[] = [];
  for (let part = 0; part < 16; part++) {
    if ((parts & (0x8000 >> part)) === 0) continue;
    const values = bits.get(16);
    for (let value = 0; value < 16; value++)
      if ((values & (0x8000 >> value)) !== 0) used.push(part * 16 + value);
  }
  if (used.length === 0) throw new BadBlock('it uses no byte');
  return Uint8Array.from(used);
}

function readSelectors(bits: BitReader, tables: number, groups: number): Uint8Array {
  const front = Array.from({ length: tables }, (_, table) => table);
  const selectors = new Uint8Array(Math.min(groups, MAX_SELECTORS));
  for (let group = 0; group < groups; group++) {
    let position = 0;
    while (bits.bit()) if (++position >= tables) throw new BadBlock('it names a table that it lacks');
    const [table = 0] = front.splice(position, 1);
    front.unshift(table);
    // Some writers pad the list; what is past the longest block is never used.
    if (group < selectors.length) selectors[group] = table;
  }
  return selectors;
}

function readTable(bits: BitReader, alphabet: number): HuffmanTable {
  const lengths = new Uint8Array(alphabet);
  let length = bits.get(5);
  for (let symbol = 0; symbol < alphabet; symbol++) {
    for (;;) {
      if (length < 1 || length > MAX_CODE_BITS) throw new BadBlock('a code has an impossible length');
      if (!bits.bit()) break;
      length += bits.bit() ? -1 : 1;
    }
    lengths[symbol] = length;
  }
  return new HuffmanTable(lengths);
}

interface Coding {
  readonly used: Uint8Array;
  readonly selectors: Uint8Array;
  readonly tables: readonly HuffmanTable[];
}

/** Fills `out` with the last column of the sorted rotations; returns its length. */
function readSymbols(bits: BitReader, { used, selectors, tables }: Coding, out: Uint32Array): number {
  const front = used.slice();
  const end = used.length + 1;
  let length = 0;
  let run = 0;
  let weight = 1;
  for (let read = 0; ; read++) {
    const table = tables[selectors[Math.floor(read / GROUP_SYMBOLS)] ?? -1];
    if (table === undefined) throw new BadBlock('it goes on after its last group');
    const symbol = table.read(bits);
    if (symbol < 0) throw new BadBlock('a code means nothing');
    if (symbol <= RUN_B) {
      run += (symbol + 1) * weight;
      weight *= 2;
      if (run > out.length - length) throw new BadBlock('it is longer than its stream says');
      continue;
    }
    if (run > 0) {
      out.fill(front[0] as number, length, length + run);
      length += run;
      run = 0;
    }
    weight = 1;
    if (symbol === end) return length;
    if (length === out.length) throw new BadBlock('it is longer than its stream says');
    const byte = front[symbol - 1] as number;
    front.copyWithin(1, 0, symbol - 1);
    front[0] = byte;
    out[length++] = byte;
  }
}

/** Puts into each word's upper bits where the byte after it stands. */
function linked(words: Uint32Array): Uint32Array {
  const starts = new Uint32Array(257);
  for (let i = 0; i < words.length; i++) {
    const next = (words[i] as number) + 1;
    starts[next] = (starts[next] as number) + 1;
  }
  for (let byte = 0; byte < 256; byte++)
    starts[byte + 1] = (starts[byte + 1] as number) + (starts[byte] as number);
  for (let i = 0; i < words.length; i++) {
    const byte = (words[i] as number) & 255;
    const to = starts[byte] as number;
    starts[byte] = to + 1;
    words[to] = (words[to] as number) | (i << 8);
  }
  return words;
}

/** The block's bytes, runs grown again: up to 46 MB, so they are never held at once. */
export class BlockContent {
  readonly #links: Uint32Array;
  readonly #expectedCrc: number;
  #crc = CRC_START;
  #word: number;
  #left: number;
  #byte = -1;
  #same = 0;
  #run = 0;

  constructor(links: Uint32Array, origin: number, crc: number) {
    this.#links = links;
    this.#left = links.length;
    this.#word = (links[origin] as number) >>> 8;
    this.#expectedCrc = crc;
  }

  /** Fills from the front; returns how many bytes, 0 at the end. Throws BadBlock where the checksum is wrong. */
  read(into: Uint8Array): number {
    let at = 0;
    while (at < into.length && (this.#run > 0 || this.#left > 0)) {
      if (this.#run > 0) {
        const count = Math.min(this.#run, into.length - at);
        into.fill(this.#byte, at, at + count);
        at += count;
        this.#run -= count;
        continue;
      }
      const byte = this.#next();
      if (this.#same === RUN_MARK) {
        this.#run = byte;
        this.#same = 0;
        continue;
      }
      this.#same = byte === this.#byte ? this.#same + 1 : 1;
      this.#byte = byte;
      into[at++] = byte;
    }
    this.#crc = crcOf(this.#crc, into, 0, at);
    if (this.#run === 0 && this.#left === 0 && ~this.#crc !== this.#expectedCrc) {
      throw new BadBlock('its checksum is wrong');
    }
    return at;
  }

  /** The checksum that the stream's own is made of. */
  get crc(): number {
    return this.#expectedCrc;
  }

  #next(): number {
    const word = this.#links[this.#word] as number;
    this.#word = word >>> 8;
    this.#left--;
    return word & 255;
  }
}

/** Writes bzip2 streams. */

import { BitWriter } from './bits.ts';
import { blockSymbols } from './block-symbols.ts';
import { codingTables } from './coding-tables.ts';
import { CRC_START, combinedCrc, crcOf } from './crc.ts';
import { BLOCK_MAGIC, END_MAGIC, GROUP_SYMBOLS, LEVEL_BYTES, STREAM_MAGIC } from './format.ts';
import { codesOf } from './huffman.ts';

const LEVEL = 9;
/** libbzip2 leaves room at the end of a block for a run. */
const BLOCK_BYTES = LEVEL * LEVEL_BYTES - 19;
const LONGEST_RUN = 255;
/** A run of four is followed by how many more there are. */
const RUN_MARK = 4;

/**
 * Compresses a block at a time: yields how many bytes are done after each (some 0.5 s apart), returns the stream.
 * What `bzip2 -9` reads; not the same bytes as it writes.
 */
export function* compress(bytes: Uint8Array): Generator<number, Uint8Array> {
  const out = new BitWriter();
  for (const byte of STREAM_MAGIC) out.put(8, byte);
  out.put(8, 0x30 + LEVEL);
  let streamCrc = 0;
  const block = new Uint8Array(Math.min(BLOCK_BYTES, 2 * bytes.length) + RUN_MARK + 1);
  for (let at = 0; at < bytes.length; ) {
    const { to, length } = fillBlock(bytes, at, block);
    const crc = ~crcOf(CRC_START, bytes, at, to);
    streamCrc = combinedCrc(streamCrc, crc);
    writeBlock(out, block.subarray(0, length), crc);
    at = to;
    yield at;
  }
  out.put48(END_MAGIC);
  out.put32(streamCrc);
  return out.finish();
}

/** Writes bytes from `from` on with runs shortened, until the block is full; `to` is the first byte left out. */
function fillBlock(
  bytes: Uint8Array,
  from: number,
  block: Uint8Array,
): { readonly to: number; readonly length: number } {
  let at = from;
  let length = 0;
  while (at < bytes.length && length < BLOCK_BYTES) {
    const byte = bytes[at] as number;
    let run = 1;
    while (run < LONGEST_RUN && bytes[at + run] === byte && at + run < bytes.length) run++;
    block.fill(byte, length, length + Math.min(run, RUN_MARK));
    length += Math.min(run, RUN_MARK);
    if (run >= RUN_MARK) block[length++] = run - RUN_MARK;
    at += run;
  }
  return { to: at, length };
}

function writeBlock(out: BitWriter, block: Uint8Array, crc: number): void {
  const { origin, used, symbols } = blockSymbols(block);
  const alphabet = used.length + 2;
  const { tables, selectors } = codingTables(symbols, alphabet);
  out.put48(BLOCK_MAGIC);
  out.put32(crc);
  out.put(1, 0);
  out.put(24, origin);
  writeUsed(out, used);
  out.put(3, tables.length);
  out.put(15, selectors.length);
  writeSelectors(out, selectors, tables.length);
  for (const lengths of tables) writeLengths(out, lengths);
  const codes = tables.map(codesOf);
  for (let i = 0; i < symbols.length; i++) {
    const table = selectors[Math.floor(i / GROUP_SYMBOLS)] as number;
    const symbol = symbols[i] as number;
    out.put((tables[table] as Uint8Array)[symbol] as number, (codes[table] as Uint32Array)[symbol] as number);
  }
}

/** Sixteen bits say which sixteenths of the byte values occur, sixteen more for each of those which values. */
function writeUsed(out: BitWriter, used: readonly number[]): void {
  const parts = Array.from({ length: 16 }, (_, part) => used.filter((byte) => byte >> 4 === part));
  out.put(
    16,
    parts.reduce((bits, part) => bits * 2 + (part.length > 0 ? 1 : 0), 0),
  );
  for (const part of parts) {
    if (part.length > 0)
      out.put(
        16,
        part.reduce((bits, byte) => bits | (0x8000 >> (byte & 15)), 0),
      );
  }
}

/** Positions in a list that is moved to front, unary. */
function writeSelectors(out: BitWriter, selectors: Uint8Array, tables: number): void {
  const front = Array.from({ length: tables }, (_, table) => table);
  for (const selector of selectors) {
    const position = front.indexOf(selector);
    front.splice(position, 1);
    front.unshift(selector);
    for (let i = 0; i < position; i++) out.put(1, 1);
    out.put(1, 0);
  }
}

/** The first length, then steps: 10 up, 11 down, 0 done. */
function writeLengths(out: BitWriter, lengths: Uint8Array): void {
  let now = lengths[0] as number;
  out.put(5, now);
  for (const length of lengths) {
    for (; now < length; now++) out.put(2, 0b10);
    for (; now > length; now--) out.put(2, 0b11);
    out.put(1, 0);
  }
}

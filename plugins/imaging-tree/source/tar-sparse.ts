/** Sparse files in tar archives: GNU's old format, and pax formats 0.0, 0.1 and 1.0. */

import type { ByteReader } from './byte-reader.ts';
import { BLOCK, invalid, number } from './tar-format.ts';

/** Data at `offset`; what lies between is zeros. */
export interface Extent {
  readonly offset: number;
  readonly bytes: number;
}

export interface SparseMap {
  readonly extents: readonly Extent[];
  /** Length of the file with its holes. */
  readonly realBytes: number;
  /** Archived bytes that the map itself took from the member's data (format 1.0). */
  readonly mapBytes: number;
}

const MAX_EXTENTS = 1_000_000;
const ZEROS = Buffer.alloc(256 * 1024);

/** Old GNU format: four extents in the header, 21 in each extension block that follows. */
export async function readGnuMap(block: Buffer, reader: ByteReader): Promise<SparseMap> {
  const extents = gnuExtents(block, 386, 4);
  let extended = block[482] === 1;
  while (extended) {
    const more = await reader.exactly(BLOCK);
    if (more.length < BLOCK) throw invalid('it ends inside a sparse map');
    extents.push(...gnuExtents(more, 0, 21));
    extended = more[504] === 1;
    if (extents.length > MAX_EXTENTS) throw invalid('a sparse map has too many extents');
  }
  return checked({ extents, realBytes: number(block, 483, 12), mapBytes: 0 });
}

function gnuExtents(block: Buffer, from: number, count: number): Extent[] {
  const extents: Extent[] = [];
  for (let at = from; at < from + count * 24 && block[at] !== 0; at += 24) {
    extents.push({ offset: number(block, at, 12), bytes: number(block, at + 12, 12) });
  }
  return extents;
}

/** pax 0.0 repeats keys; a map cannot hold them, so they are gathered here while parsing. */
export function paxPairs(body: Buffer): string | undefined {
  const text = body.toString('latin1');
  const numbers = [...text.matchAll(/ GNU\.sparse\.(offset|numbytes)=([0-9]+)\n/g)].map((match) => match[2]);
  return numbers.length === 0 ? undefined : numbers.join(',');
}

/** pax 0.0 and 0.1: the map as a list of numbers. */
export function parsePaxMap(list: string, realBytes: number): SparseMap {
  const numbers = list === '' ? [] : list.split(',').map(Number);
  if (numbers.length % 2 !== 0 || numbers.length > 2 * MAX_EXTENTS)
    throw invalid('a sparse map is malformed');
  return checked({ extents: pairs(numbers), realBytes, mapBytes: 0 });
}

/** pax 1.0: decimal lines before the data, padded to a block. */
export async function readPaxMap(reader: ByteReader, realBytes: number): Promise<SparseMap> {
  const start = reader.position;
  let text = '';
  const more = async () => {
    const block = await reader.exactly(BLOCK);
    if (block.length < BLOCK) throw invalid('it ends inside a sparse map');
    text += block.toString('latin1');
  };
  await more();
  const count = Number(/^([0-9]+)\n/.exec(text)?.[1] ?? Number.NaN);
  if (!(count <= MAX_EXTENTS)) throw invalid('a sparse map is malformed');
  let lines = text.split('\n');
  while (lines.length <= 2 * count + 1) {
    await more();
    lines = text.split('\n');
  }
  const numbers = lines.slice(1, 2 * count + 1).map(Number);
  return checked({ extents: pairs(numbers), realBytes, mapBytes: reader.position - start });
}

function pairs(numbers: readonly number[]): Extent[] {
  const extents: Extent[] = [];
  for (let at = 0; at + 1 < numbers.length; at += 2) {
    extents.push({ offset: numbers[at] as number, bytes: numbers[at + 1] as number });
  }
  return extents;
}

function checked(map: SparseMap): SparseMap {
  let end = 0;
  for (const { offset, bytes } of map.extents) {
    if (!(offset >= end) || !(bytes >= 0) || !(offset + bytes <= map.realBytes)) {
      throw invalid('a sparse map is out of order');
    }
    end = offset + bytes;
  }
  return map;
}

/** The file's bytes, holes filled with zeros. `data` gives the archived ones. */
export async function* expandSparse(
  map: SparseMap,
  data: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const pieces = data[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array(0);
  let at = 0;
  for (const extent of map.extents) {
    yield* zeros(extent.offset - at);
    for (let left = extent.bytes; left > 0; ) {
      if (rest.length === 0) {
        const next = await pieces.next();
        if (next.done === true) throw invalid('a sparse file holds less than its map says');
        rest = next.value;
      }
      const piece = rest.subarray(0, left);
      rest = rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
    at = extent.offset + extent.bytes;
  }
  yield* zeros(map.realBytes - at);
}

function* zeros(count: number): Generator<Uint8Array> {
  for (let left = count; left > 0; left -= ZEROS.length)
    yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
}

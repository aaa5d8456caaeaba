/** Blocks of bases, known by a rolling hash and a digest, and where a target repeats them. */

import { createHash } from 'node:crypto';
import type { SignatureIndex, SignedBase, SignOptions } from '@overdub/core/agent';
import {
  BLOCK_RECORD_BYTES,
  type Instruction,
  SIGNATURE_HEAD_BYTES,
  SIGNATURE_MAGIC,
  STRONG_BYTES,
} from './format.ts';

const BLOCK_BYTES = 512;
const MAX_BLOCK_BYTES = 1024 * 1024;
/** The target is searched in pieces of this many bytes: memory stays flat. */
const SEGMENT_BYTES = 1024 * 1024;
const FACTOR = 0x01000193;

export async function* sign(
  source: AsyncIterable<Uint8Array>,
  { sourceBytes, blockBytes, signal }: SignOptions,
): AsyncGenerator<Uint8Array> {
  const length = blockBytes || BLOCK_BYTES;
  const head = Buffer.concat([SIGNATURE_MAGIC, Buffer.alloc(4)]);
  head.writeUInt32LE(length, 4);
  yield head;
  let bytes = 0;
  for await (const block of cutBy(source, length, signal)) {
    bytes += block.length;
    if (block.length === length) yield record(block);
  }
  if (bytes !== sourceBytes)
    throw new Error(`the source has ${bytes} bytes, where ${sourceBytes} were announced`);
}

interface Block {
  readonly from: number;
  readonly strong: Uint8Array;
}

/** The blocks of one length. */
interface Group {
  readonly length: number;
  /** FACTOR to the power of length - 1: what the byte that leaves the window counts. */
  readonly leaving: number;
  readonly blocks: Block[];
  readonly byHash: Map<number, number>;
}

export class BlockIndex implements SignatureIndex {
  readonly #groups = new Map<number, Group>();
  #bases = 0;
  #blocks = 0;

  get bytes(): number {
    return this.#blocks * 36;
  }

  append({ signature, baseBytes }: SignedBase): void {
    const bytes = Buffer.from(signature.buffer, signature.byteOffset, signature.length);
    const proper =
      bytes.length >= SIGNATURE_HEAD_BYTES && bytes.subarray(0, 4).equals(SIGNATURE_MAGIC)
        ? bytes.readUInt32LE(4)
        : 0;
    if (proper === 0 || proper > MAX_BLOCK_BYTES) throw new Error('this is no test-blocks signature');
    const count = Math.floor(baseBytes / proper);
    if (bytes.length !== SIGNATURE_HEAD_BYTES + count * BLOCK_RECORD_BYTES)
      throw new Error('the signature is of another length than its base');
    const group = this.#group(proper);
    for (let number = 0; number < count; number++) {
      const at = SIGNATURE_HEAD_BYTES + number * BLOCK_RECORD_BYTES;
      const hash = bytes.readInt32LE(at);
      if (!group.byHash.has(hash)) group.byHash.set(hash, group.blocks.length);
      const strong = bytes.subarray(at + 4, at + BLOCK_RECORD_BYTES);
      group.blocks.push({ from: this.#bases + number * proper, strong });
    }
    this.#bases += baseBytes;
    this.#blocks += count;
  }

  #group(length: number): Group {
    const known = this.#groups.get(length);
    if (known !== undefined) return known;
    const leaving = Array.from({ length: length - 1 }).reduce<number>((power) => Math.imul(power, FACTOR), 1);
    const group: Group = { length, leaving, blocks: [], byHash: new Map() };
    this.#groups.set(length, group);
    return group;
  }

  /** The target as copies of the bases and literals. */
  async *instructions(
    target: AsyncIterable<Uint8Array>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Instruction> {
    for await (const segment of cutBy(target, SEGMENT_BYTES, signal)) yield* this.#search(segment);
  }

  *#search(segment: Uint8Array): Generator<Instruction> {
    let searches = [...this.#groups.values()].map((group) => new Search(group, segment, 0));
    let literal = 0;
    for (let at = 0; at < segment.length; ) {
      const found = firstMatch(searches);
      if (found === undefined) {
        at += 1;
        for (const search of searches) search.step();
        continue;
      }
      if (at > literal) yield { kind: 'literal', bytes: segment.subarray(literal, at) };
      yield { kind: 'copy', from: found.block.from, length: found.length };
      at += found.length;
      literal = at;
      searches = searches.map((search) => search.after(at, found.block));
    }
    if (literal < segment.length) yield { kind: 'literal', bytes: segment.subarray(literal) };
  }
}

interface Found {
  readonly block: Block;
  readonly length: number;
}

function firstMatch(searches: readonly Search[]): Found | undefined {
  for (const search of searches) {
    const found = search.match();
    if (found !== undefined) return found;
  }
  return undefined;
}

/** One window over a segment, as long as a group's blocks. */
class Search {
  readonly #group: Group;
  readonly #segment: Uint8Array;
  #at: number;
  #hash: number;
  /** Number of the block that would continue the last copy. */
  #next: number;

  constructor(group: Group, segment: Uint8Array, at: number, next = -1) {
    this.#group = group;
    this.#segment = segment;
    this.#at = at;
    this.#next = next;
    this.#hash = hashOf(segment.subarray(at, at + group.length));
  }

  match(): Found | undefined {
    const { length, blocks, byHash } = this.#group;
    if (this.#at + length > this.#segment.length) return undefined;
    const known = byHash.get(this.#hash);
    if (known === undefined) return undefined;
    const strong = strongOf(this.#segment.subarray(this.#at, this.#at + length));
    for (const number of [this.#next, known]) {
      const block = blocks[number];
      if (block === undefined || !strong.equals(block.strong)) continue;
      this.#next = number + 1;
      return { block, length };
    }
    return undefined;
  }

  step(): void {
    const { length, leaving } = this.#group;
    const gone = Math.imul(this.#segment[this.#at] ?? 0, leaving);
    const come = this.#segment[this.#at + length] ?? 0;
    this.#hash = (Math.imul(this.#hash - gone, FACTOR) + come) | 0;
    this.#at += 1;
  }

  after(at: number, last: Block): Search {
    const continued = this.#group.blocks[this.#next - 1] === last ? this.#next : -1;
    return new Search(this.#group, this.#segment, at, continued);
  }
}

/** The same bytes in pieces of `length`, the last one shorter. */
async function* cutBy(
  source: AsyncIterable<Uint8Array>,
  length: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  let piece = Buffer.alloc(length);
  let have = 0;
  for await (const bytes of source) {
    signal?.throwIfAborted();
    for (let from = 0; from < bytes.length; ) {
      const part = bytes.subarray(from, from + length - have);
      piece.set(part, have);
      have += part.length;
      from += part.length;
      if (have < length) break;
      yield piece;
      piece = Buffer.alloc(length);
      have = 0;
    }
  }
  if (have > 0) yield piece.subarray(0, have);
}

function record(block: Uint8Array): Uint8Array {
  const hash = Buffer.alloc(4);
  hash.writeInt32LE(hashOf(block));
  return Buffer.concat([hash, strongOf(block)]);
}

function hashOf(bytes: Uint8Array): number {
  let hash = 0;
  for (const byte of bytes) hash = (Math.imul(hash, FACTOR) + byte) | 0;
  return hash;
}

function strongOf(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest().subarray(0, STRONG_BYTES);
}

/** What a target is searched for: the blocks of one or several bases, seen as one virtual base. */

import type { SignatureIndex, SignedBase } from '@overdub/core/agent';
import type { StrongKind, SumKinds, WeakKind } from './format.ts';
import { longestBase, type ParsedSignature, parseSignature, type SignaturePolicy } from './signature.ts';
import { createStrongSum, type StrongSum } from './strong-sum.ts';
import { weakSum } from './weak-sum.ts';
import { WeakTable } from './weak-table.ts';

/** Words of each strong sum that are kept: 96 bits; whoever applies the delta checks the content's digest too. */
const STRONG_WORDS = 3;

/** Of targets that join: they are chunks, and the next ones repeat small parts of them. */
const JOINED_BLOCK_BYTES = 512;

/** [from, to) of a target. */
export interface Range {
  readonly from: number;
  to: number;
}

/** A run of blocks of one base, in one group. */
interface Run {
  readonly firstBlock: number;
  readonly baseStart: number;
  readonly baseBytes: number;
}

/** Blocks of equal sums and block length, searched in one pass. Opaque outside the codec. */
export class BlockGroup {
  readonly weak: WeakKind;
  readonly strong: StrongKind;
  readonly blockBytes: number;
  readonly table: WeakTable;
  #strong = new Uint32Array(0);
  readonly #runs: Run[] = [];
  /** Length of a base's last, short block → the numbers of the blocks of that length. */
  readonly #short = new Map<number, number[]>();
  #openBlock: number | undefined;

  constructor({ weak, strong }: SumKinds, blockBytes: number) {
    this.weak = weak;
    this.strong = strong;
    this.blockBytes = blockBytes;
    this.table = new WeakTable((known, added) => this.#sameStrong(known, added));
  }

  get bytes(): number {
    return this.table.bytes + this.#strong.byteLength + this.#runs.length * 64 + this.#short.size * 64;
  }

  /** The last block of a base of unknown length: it may be shorter than the others. */
  get openBlock(): number | undefined {
    return this.#openBlock;
  }

  /** Lengths of short last blocks, longest first. */
  get shortLengths(): number[] {
    return [...this.#short.keys()].sort((a, b) => b - a);
  }

  reserve(blocks: number): void {
    this.table.reserve(blocks);
    if (blocks * STRONG_WORDS <= this.#strong.length) return;
    const capacity = this.#runs.length === 0 ? blocks : Math.max(blocks, Math.ceil(this.table.count * 1.5));
    const grown = new Uint32Array(capacity * STRONG_WORDS);
    grown.set(this.#strong.subarray(0, this.table.count * STRONG_WORDS));
    this.#strong = grown;
  }

  add(signature: ParsedSignature, baseStart: number, baseBytes: number): void {
    this.reserve(this.table.count + signature.blocks);
    const firstBlock = this.table.count;
    this.#runs.push({ firstBlock, baseStart, baseBytes });
    for (let block = 0; block < signature.blocks; block++) {
      const at = this.table.count * STRONG_WORDS;
      for (let word = 0; word < STRONG_WORDS; word++) {
        this.#strong[at + word] = signature.strongWordAt(block, word);
      }
      this.table.add(signature.weakAt(block));
    }
    const shortBytes = baseBytes % this.blockBytes;
    if (shortBytes === 0) return;
    const blocks = this.#short.get(shortBytes) ?? [];
    blocks.push(this.table.count - 1);
    this.#short.set(shortBytes, blocks);
  }

  /** Signs blocks of `target`, which lies at `start` in the virtual base: full ones, from where each range begins. */
  addRanges(target: Uint8Array, ranges: readonly Range[], start: number, strong: StrongSum): void {
    const { blockBytes } = this;
    for (const { from, to } of ranges) {
      const blocks = Math.min(
        Math.ceil((to - from) / blockBytes),
        Math.floor((target.length - from) / blockBytes),
      );
      if (blocks === 0) continue;
      this.reserve(this.table.count + blocks);
      this.#runs.push({
        firstBlock: this.table.count,
        baseStart: start + from,
        baseBytes: blocks * blockBytes,
      });
      for (let at = from; at < from + blocks * blockBytes; at += blockBytes) {
        const sum = strong(target.subarray(at, at + blockBytes));
        for (let word = 0; word < STRONG_WORDS; word++) {
          this.#strong[this.table.count * STRONG_WORDS + word] = wordAt(sum, word);
        }
        this.table.add(weakSum(this.weak, target, at, blockBytes));
      }
    }
  }

  /** Whether block `block` here is block `other` of a signature, by both sums. */
  isBlockOf(block: number, signature: ParsedSignature, other: number): boolean {
    if (this.table.sumOf(block) !== signature.weakAt(other)) return false;
    for (let word = 0; word < STRONG_WORDS; word++) {
      if (this.#strong[block * STRONG_WORDS + word] !== signature.strongWordAt(other, word)) return false;
    }
    return true;
  }

  hasStrong(block: number, sum: Uint8Array): boolean {
    const at = block * STRONG_WORDS;
    for (let word = 0; word < STRONG_WORDS; word++) {
      if (this.#strong[at + word] !== wordAt(sum, word)) return false;
    }
    return true;
  }

  /** Offset in the virtual base and length of a block. */
  place(block: number): { readonly offset: number; readonly length: number } {
    const run = this.#runOf(block);
    const inBase = (block - run.firstBlock) * this.blockBytes;
    return {
      offset: run.baseStart + inBase,
      length: Math.min(this.blockBytes, run.baseBytes - inBase),
    };
  }

  shortBlocks(length: number): readonly number[] {
    return this.#short.get(length) ?? [];
  }

  /** The last block added ends a base of unknown length. */
  leaveOpen(): void {
    this.#openBlock = this.table.count - 1;
  }

  #runOf(block: number): Run {
    let low = 0;
    let high = this.#runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#runs[middle] as Run).firstBlock <= block) low = middle;
      else high = middle - 1;
    }
    return this.#runs[low] as Run;
  }

  #sameStrong(known: number, added: number): boolean {
    for (let word = 0; word < STRONG_WORDS; word++) {
      if (this.#strong[known * STRONG_WORDS + word] !== this.#strong[added * STRONG_WORDS + word])
        return false;
    }
    return true;
  }
}

function wordAt(sum: Uint8Array, word: number): number {
  const i = word * 4;
  const [a = 0, b = 0, c = 0, d = 0] = [sum[i], sum[i + 1], sum[i + 2], sum[i + 3]];
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

/** One of the bases that an index was made of. */
export interface IndexedBase {
  /** Offset in the virtual base, and length. */
  readonly start: number;
  readonly bytes: number;
  readonly blockBytes: number;
  /** Whether its block of this number has the sums that it has in another signature. */
  holds(block: number, signature: ParsedSignature): boolean;
}

/**
 * The index over one signature alone, as `rdiff delta` has it: it does not tell the base's length, so the last block
 * is looked for at every length.
 */
export function openIndex(signature: Uint8Array): BlockIndex {
  const baseBytes = longestBase(signature);
  const index = new BlockIndex([{ signature, baseBytes }], { acceptMd4: true });
  for (const group of index.groups) group.leaveOpen();
  return index;
}

/** The index of {@link SignatureFeature}: about 24 bytes a block. Bases may differ in block length. */
export class BlockIndex implements SignatureIndex {
  readonly #groups: BlockGroup[] = [];
  readonly #policy: SignaturePolicy;
  readonly #bases: (IndexedBase | undefined)[] = [];
  readonly #strongSums = new Map<StrongKind, Promise<StrongSum>>();
  #baseBytes = 0;

  constructor(bases: readonly SignedBase[], policy: SignaturePolicy = {}) {
    this.#policy = policy;
    const parsed = bases.map((base) => parseSignature(base.signature, base.baseBytes, policy));
    const blocks = new Map<BlockGroup, number>();
    for (const signature of parsed) {
      const group = this.#groupFor(signature);
      blocks.set(group, (blocks.get(group) ?? 0) + signature.blocks);
    }
    for (const [group, count] of blocks) group.reserve(count);
    for (const [i, base] of bases.entries()) this.#add(parsed[i] as ParsedSignature, base.baseBytes);
  }

  get bytes(): number {
    return this.#groups.reduce((sum, group) => sum + group.bytes, 0);
  }

  /** Length of the virtual base. */
  get baseBytes(): number {
    return this.#baseBytes;
  }

  /** Longest blocks first: their matches cost least. */
  get groups(): readonly BlockGroup[] {
    return this.#groups;
  }

  append(base: SignedBase): void {
    this.#add(parseSignature(base.signature, base.baseBytes, this.#policy), base.baseBytes);
  }

  /** Adds a target at the end; only these ranges of it are new. */
  async join(target: Uint8Array, ranges: readonly Range[]): Promise<void> {
    const sums = { weak: 'rabinkarp', strong: 'blake2' } as const;
    const group = this.#groupFor({ ...sums, blockBytes: JOINED_BLOCK_BYTES });
    group.addRanges(target, ranges, this.#baseBytes, await this.strongSum(group.strong));
    this.#baseBytes += target.length;
  }

  /** The base of this number, in the order in which they were given and appended. */
  baseAt(number: number): IndexedBase | undefined {
    return this.#bases[number];
  }

  /** Made once, for all who use this index: what it answers is only lent. */
  strongSum(kind: StrongKind): Promise<StrongSum> {
    const sum = this.#strongSums.get(kind) ?? createStrongSum(kind);
    this.#strongSums.set(kind, sum);
    return sum;
  }

  #add(signature: ParsedSignature, baseBytes: number): void {
    const start = this.#baseBytes;
    this.#baseBytes += baseBytes;
    if (signature.blocks === 0) {
      this.#bases.push(undefined);
      return;
    }
    const group = this.#groupFor(signature);
    const first = group.table.count;
    group.add(signature, start, baseBytes);
    const { weak, strong, blockBytes, blocks } = signature;
    this.#bases.push({
      start,
      bytes: baseBytes,
      blockBytes,
      holds: (block, other) =>
        block < blocks &&
        other.weak === weak &&
        other.strong === strong &&
        group.isBlockOf(first + block, other, block),
    });
  }

  #groupFor(signature: SumKinds & { readonly blockBytes: number }): BlockGroup {
    const { weak, strong, blockBytes } = signature;
    const known = this.#groups.find(
      (group) => group.weak === weak && group.strong === strong && group.blockBytes === blockBytes,
    );
    if (known !== undefined) return known;
    const group = new BlockGroup(signature, blockBytes);
    this.#groups.push(group);
    this.#groups.sort((a, b) => b.blockBytes - a.blockBytes);
    return group;
  }
}

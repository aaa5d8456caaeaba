/** Finds the blocks of one group in a stream of literal bytes, at any position (the rsync algorithm). */

import type { BlockGroup } from './block-index.ts';
import type { DeltaSink } from './delta-writer.ts';
import type { StrongSum } from './strong-sum.ts';
import { tailLengths } from './tail-sums.ts';
import { createRoller, type Roller, weakSum } from './weak-sum.ts';

const BUFFER_BYTES = 256 * 1024;
/** Short last blocks of more lengths than this are not looked for at the target's end. */
const MAX_SHORT_LENGTHS = 256;

/**
 * Passes on copies for what it finds and literals for the rest. Copies that come in go through unchanged, so that
 * searchers for several block lengths can be chained. Memory: a buffer of 256 KiB, or four blocks.
 */
export class BlockSearcher implements DeltaSink {
  readonly #group: BlockGroup;
  readonly #strong: StrongSum;
  readonly #sink: DeltaSink;
  readonly #roller: Roller;
  readonly #buffer: Uint8Array;
  /** [start, position) is literal for sure, [position, end) is not searched yet. */
  #start = 0;
  #position = 0;
  #end = 0;
  /** Whether the roller stands at `position` and that window was looked up. */
  #rolling = false;
  /** Where the last match ended, and the block that follows it in the base: edits in place keep that step. */
  #anchor = 0;
  #anchorBlock = 0;

  constructor(group: BlockGroup, strong: StrongSum, sink: DeltaSink) {
    this.#group = group;
    this.#strong = strong;
    this.#sink = sink;
    this.#roller = createRoller(group.weak, group.blockBytes);
    this.#buffer = new Uint8Array(Math.max(BUFFER_BYTES, 4 * group.blockBytes));
  }

  literal(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      if (this.#end === this.#buffer.length) this.#makeRoom();
      const length = Math.min(this.#buffer.length - this.#end, bytes.length - from);
      this.#buffer.set(bytes.subarray(from, from + length), this.#end);
      this.#end += length;
      from += length;
      this.#search();
    }
  }

  copy(offset: number, length: number): void {
    this.#finish();
    this.#sink.copy(offset, length);
  }

  end(): void {
    this.#finish();
    this.#sink.end();
  }

  #search(): void {
    const last = this.#end - this.#group.blockBytes;
    const filter = this.#group.table.filter;
    while (this.#position <= last) {
      if (!this.#rolling) {
        if (this.#followOn()) continue;
        this.#roller.start(this.#buffer, this.#position);
        this.#rolling = true;
      } else {
        if (this.#position === last) return;
        this.#position = this.#roller.next(this.#buffer, this.#position, last, filter);
      }
      const block = this.#lookUp();
      if (block >= 0) this.#accept(block);
    }
  }

  /** The block after the last match needs no weak sum: unchanged stretches run at the strong sum's speed. */
  #followOn(): boolean {
    const block = this.#expectedBlock();
    if (block < 0) return false;
    const { length } = this.#group.place(block);
    if (this.#position + length > this.#end) return false;
    if (!this.#group.hasStrong(block, this.#strongAt(this.#position, length))) return false;
    this.#accept(block);
    return true;
  }

  /** The block that lies here if the base was only edited in place since the last match, or -1. */
  #expectedBlock(): number {
    if (this.#anchorBlock < 0) return -1;
    const steps = (this.#position - this.#anchor) / this.#group.blockBytes;
    const block = this.#anchorBlock + steps;
    return Number.isInteger(steps) && block < this.#group.table.count ? block : -1;
  }

  #lookUp(): number {
    const { table, blockBytes } = this.#group;
    const sum = this.#roller.sum;
    if (!table.has(sum)) return -1;
    let strong: Uint8Array | undefined;
    const matches = (block: number): boolean => {
      strong ??= this.#strongAt(this.#position, blockBytes);
      return this.#group.hasStrong(block, strong);
    };
    const expected = this.#expectedBlock();
    if (expected >= 0 && table.sumOf(expected) === sum && matches(expected)) return expected;
    return table.find(sum, matches);
  }

  #accept(block: number): void {
    const { offset, length } = this.#group.place(block);
    this.#emitLiteral(this.#position);
    this.#sink.copy(offset, length);
    this.#position += length;
    this.#start = this.#position;
    this.#anchor = this.#position;
    this.#anchorBlock = block + 1;
    this.#rolling = false;
  }

  #makeRoom(): void {
    this.#emitLiteral(this.#position);
    this.#buffer.copyWithin(0, this.#position, this.#end);
    this.#end -= this.#position;
    this.#anchor -= this.#position;
    this.#start = 0;
    this.#position = 0;
  }

  /** Ends a stretch of literal bytes: only here may a base's short last block match. */
  #finish(): void {
    if (!this.#rolling && this.#position < this.#end) this.#followOn();
    const block = this.#shortBlockAtEnd();
    if (block >= 0) {
      const { length } = this.#group.place(block);
      this.#position = this.#end - length;
      this.#accept(block);
    } else this.#acceptOpenBlock();
    this.#emitLiteral(this.#end);
    this.#start = 0;
    this.#position = 0;
    this.#end = 0;
    this.#rolling = false;
    this.#anchorBlock = -1;
  }

  #shortBlockAtEnd(): number {
    for (const length of this.#group.shortLengths.slice(0, MAX_SHORT_LENGTHS)) {
      const at = this.#end - length;
      if (at < this.#start) continue;
      const sum = weakSum(this.#group.weak, this.#buffer, at, length);
      const found = this.#group
        .shortBlocks(length)
        .find(
          (block) =>
            this.#group.table.sumOf(block) === sum &&
            this.#group.hasStrong(block, this.#strongAt(at, length)),
        );
      if (found !== undefined) return found;
    }
    return -1;
  }

  #acceptOpenBlock(): void {
    const { openBlock, blockBytes, weak, table } = this.#group;
    if (openBlock === undefined) return;
    const most = Math.min(blockBytes - 1, this.#end - this.#start);
    for (const length of tailLengths(weak, this.#buffer, this.#end, most, table.sumOf(openBlock))) {
      if (!this.#group.hasStrong(openBlock, this.#strongAt(this.#end - length, length))) continue;
      this.#emitLiteral(this.#end - length);
      this.#sink.copy(this.#group.place(openBlock).offset, length);
      this.#start = this.#end;
      return;
    }
  }

  #strongAt(from: number, length: number): Uint8Array {
    return this.#strong(this.#buffer.subarray(from, from + length));
  }

  #emitLiteral(to: number): void {
    if (to > this.#start) this.#sink.literal(this.#buffer.subarray(this.#start, to));
    this.#start = to;
  }
}

/** The delta of a target in memory: what lies where it was is known by sums, the rest is searched, the new joins. */

import type { InPlace, SignedBase, TargetOptions } from '@overdub/core/agent';
import type { BlockIndex, IndexedBase, Range } from './block-index.ts';
import { BlockSearcher } from './block-searcher.ts';
import { type DeltaSink, DeltaWriter } from './delta-writer.ts';
import { NearCopies, type OwnPlace } from './near-copies.ts';
import { parseSignature } from './signature.ts';

const PIECE_BYTES = 256 * 1024;
/** Old content between new is signed along with it when so short: logs repeat pages whole, and one copy then does. */
const BRIDGED_BYTES = 8192;

/** See {@link SignatureFeature.encode}. Deterministic for equal arguments. */
export async function* encodeTarget(
  index: BlockIndex,
  target: Uint8Array,
  { joins, inPlace, signal }: TargetOptions,
): AsyncGenerator<Uint8Array> {
  const writer = new DeltaWriter();
  const fresh = new LiteralRanges(writer);
  const own = inPlace === undefined ? undefined : ownPlace(index, target.length, inPlace);
  let search: DeltaSink = own === undefined ? fresh : new NearCopies(target, own, fresh);
  for (const group of index.groups.toReversed()) {
    search = new BlockSearcher(group, await index.strongSum(group.strong), search);
  }
  let at = 0;
  const literal = function* (to: number): Generator<Uint8Array> {
    for (; at < to; at = Math.min(to, at + PIECE_BYTES)) {
      signal?.throwIfAborted();
      search.literal(target.subarray(at, Math.min(to, at + PIECE_BYTES)));
      const piece = writer.take();
      if (piece !== undefined) yield piece;
    }
  };
  for (const copy of inPlace === undefined ? [] : unchanged(index, target.length, inPlace)) {
    yield* literal(copy.from);
    search.copy(copy.offset, copy.to - copy.from);
    at = copy.to;
  }
  yield* literal(target.length);
  search.end();
  yield writer.take() as Uint8Array;
  if (joins) await index.join(target, fresh.ranges);
}

/** Where short copies may come from; undefined when they may come from anywhere. */
function ownPlace(index: BlockIndex, length: number, { at, base, farBytes }: InPlace): OwnPlace | undefined {
  const before = index.baseAt(base);
  if (farBytes === undefined || before === undefined) return undefined;
  return { from: before.start + at, to: before.start + at + length, farBytes };
}

/** A stretch of the target that is the base's from `offset` on. */
interface Unchanged {
  readonly from: number;
  readonly to: number;
  readonly offset: number;
}

/** Stretches that are what they were, ascending. */
function* unchanged(index: BlockIndex, length: number, { known, at, base }: InPlace): Generator<Unchanged> {
  const before = index.baseAt(base);
  if (before === undefined) return;
  if ('stayed' in known) {
    const last = Math.min(length, before.bytes - at);
    for (const { from, to } of known.stayed)
      if (from < last) yield { from, to: Math.min(to, last), offset: before.start + at + from };
  } else yield* unchangedBlocks(before, length, known, at);
}

/** Those whose blocks have the same sums in both signatures; the blocks at the target's ends count too. */
function* unchangedBlocks(
  before: IndexedBase,
  length: number,
  now: SignedBase,
  at: number,
): Generator<Unchanged> {
  const present = parseSignature(now.signature, now.baseBytes);
  const { blockBytes } = present;
  if (before.blockBytes !== blockBytes) return;
  let run: { from: number; to: number; offset: number } | undefined;
  for (let block = Math.floor(at / blockBytes); block * blockBytes < at + length; block++) {
    const end = Math.min((block + 1) * blockBytes, now.baseBytes);
    const same = end === Math.min((block + 1) * blockBytes, before.bytes) && before.holds(block, present);
    if (!same) {
      if (run !== undefined) yield run;
      run = undefined;
      continue;
    }
    const from = Math.max(0, block * blockBytes - at);
    run ??= { from, to: from, offset: before.start + at + from };
    run.to = Math.min(length, end - at);
  }
  if (run !== undefined) yield run;
}

/** Passes everything on and notes where literals lie, with what little lies between them. */
class LiteralRanges implements DeltaSink {
  readonly ranges: Range[] = [];
  readonly #sink: DeltaSink;
  #at = 0;

  constructor(sink: DeltaSink) {
    this.#sink = sink;
  }

  literal(bytes: Uint8Array): void {
    const last = this.ranges.at(-1);
    if (last !== undefined && this.#at - last.to <= BRIDGED_BYTES) last.to = this.#at + bytes.length;
    else if (bytes.length > 0) this.ranges.push({ from: this.#at, to: this.#at + bytes.length });
    this.#at += bytes.length;
    this.#sink.literal(bytes);
  }

  copy(offset: number, length: number): void {
    this.#at += length;
    this.#sink.copy(offset, length);
  }

  end(): void {
    this.#sink.end();
  }
}

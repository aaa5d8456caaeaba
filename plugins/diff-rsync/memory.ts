/** rdiff deltas between two byte arrays: with the base at hand, matches are grown byte by byte. */

import { DeltaReader } from './delta-reader.ts';
import { DeltaWriter } from './delta-writer.ts';
import { createRoller, weakSum } from './weak-sum.ts';
import { WeakTable } from './weak-table.ts';

const COMPARE_BYTES = 2048;

/**
 * Block length for a base in memory: about 64 Ki blocks when `fast`, 256 Ki when `small`. Blocks serve only to find
 * a match; its ends are exact to the byte.
 */
export function memoryBlockBytes(baseBytes: number, effort: 'fast' | 'small'): number {
  const blocks = effort === 'small' ? 262144 : 65536;
  let block = effort === 'small' ? 16 : 32;
  while (block * blocks < baseBytes) block *= 2;
  return block;
}

/** The delta of `target` against `base`, in rdiff's format. Deterministic. */
export function encodeInMemory(
  base: Uint8Array,
  target: Uint8Array,
  blockBytes: number,
  signal?: AbortSignal,
): Uint8Array {
  const writer = new DeltaWriter();
  const table = indexBlocks(base, blockBytes);
  const roller = createRoller('rabinkarp', blockBytes);
  const last = target.length - blockBytes;
  let literalStart = 0;
  /** Base offset minus target offset of the last match. */
  let drift = 0;

  const accept = (position: number, offset: number): number => {
    const back = equalBefore(base, offset, target, position, literalStart);
    const from = position - back;
    const length = back + equalFrom(base, offset, target, position);
    if (from > literalStart) writer.literal(target.subarray(literalStart, from));
    writer.copy(offset - back, length);
    drift = offset - position;
    literalStart = from + length;
    return literalStart;
  };

  let position = 0;
  if (equalFrom(base, 0, target, 0) >= Math.min(blockBytes, target.length) && target.length > 0) {
    position = accept(0, 0);
  }
  let rolling = false;
  while (position <= last) {
    if (!rolling) {
      signal?.throwIfAborted();
      roller.start(target, position);
      rolling = true;
    } else {
      if (position === last) break;
      position = roller.next(target, position, last, table.filter);
    }
    const inPlace = position + drift;
    const matches = (block: number): boolean =>
      equalRange(base, block * blockBytes, target, position, blockBytes);
    const block = table.find(roller.sum, matches);
    if (block < 0) continue;
    const stays = inPlace >= 0 && equalRange(base, inPlace, target, position, blockBytes);
    position = accept(position, stays ? inPlace : block * blockBytes);
    rolling = false;
  }
  if (literalStart < target.length) writer.literal(target.subarray(literalStart));
  writer.end();
  return writer.take() as Uint8Array;
}

/** Applies a delta in memory; total, and exactly `targetBytes` or an error. */
export function decodeInMemory(
  base: Uint8Array,
  delta: Uint8Array,
  targetBytes: number,
  signal?: AbortSignal,
): Uint8Array {
  signal?.throwIfAborted();
  const reader = new DeltaReader({ baseBytes: base.length, targetBytes });
  const target = new Uint8Array(targetBytes);
  let at = 0;
  for (const command of reader.read(delta)) {
    const bytes =
      command.kind === 'literal'
        ? command.bytes
        : base.subarray(command.offset, command.offset + command.length);
    target.set(bytes, at);
    at += bytes.length;
  }
  reader.finish();
  return target;
}

function indexBlocks(base: Uint8Array, blockBytes: number): WeakTable {
  const blocks = Math.floor(base.length / blockBytes);
  const table = new WeakTable((known, added) =>
    equalRange(base, known * blockBytes, base, added * blockBytes, blockBytes),
  );
  table.reserve(blocks);
  for (let block = 0; block < blocks; block++) {
    table.add(weakSum('rabinkarp', base, block * blockBytes, blockBytes));
  }
  return table;
}

function equalRange(a: Uint8Array, aFrom: number, b: Uint8Array, bFrom: number, length: number): boolean {
  if (aFrom + length > a.length || bFrom + length > b.length) return false;
  for (let i = 0; i < length; i++) if (a[aFrom + i] !== b[bFrom + i]) return false;
  return true;
}

/** How many bytes are equal from the two offsets on. */
function equalFrom(a: Uint8Array, aFrom: number, b: Uint8Array, bFrom: number): number {
  const most = Math.min(a.length - aFrom, b.length - bFrom);
  let length = 0;
  while (length + COMPARE_BYTES <= most && sameBlock(a, aFrom + length, b, bFrom + length)) {
    length += COMPARE_BYTES;
  }
  while (length < most && a[aFrom + length] === b[bFrom + length]) length++;
  return length;
}

/** How many bytes before the two offsets are equal, without going before `floor` in `b`. */
function equalBefore(a: Uint8Array, aFrom: number, b: Uint8Array, bFrom: number, floor: number): number {
  const most = Math.min(aFrom, bFrom - floor);
  let length = 0;
  while (length < most && a[aFrom - length - 1] === b[bFrom - length - 1]) length++;
  return length;
}

function sameBlock(a: Uint8Array, aFrom: number, b: Uint8Array, bFrom: number): boolean {
  return (
    Buffer.compare(a.subarray(aFrom, aFrom + COMPARE_BYTES), b.subarray(bFrom, bFrom + COMPARE_BYTES)) === 0
  );
}

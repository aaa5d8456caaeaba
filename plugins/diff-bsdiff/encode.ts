/** Makes a BSDIFF40 of two contents in memory. */

import { setImmediate as rest } from 'node:timers/promises';
import type { FileOptions } from '@overdub/core/agent';
import { compress } from './bzip2/compress.ts';
import { difference } from './difference.ts';
import { headBytes, tripleBytes } from './format.ts';

/** Bytes for each one of the base: itself, its suffix array, and what sorting takes at its worst. */
const PER_BASE_BYTE = 20;
/** Bytes for each one of the target: itself, what is added and inserted, and their compressed forms. */
const PER_TARGET_BYTE = 5;
/** One block of bzip2, written twice, and its suffix array. */
const COMPRESSOR_BYTES = 48 * 1024 * 1024;

/** Memory that {@link encode} takes at most. */
export function encodeMemory(baseBytes: number, targetBytes: number): number {
  return PER_BASE_BYTE * baseBytes + PER_TARGET_BYTE * targetBytes + COMPRESSOR_BYTES;
}

/**
 * Runs on the calling thread and rests between steps, so that signals arrive; only sorting the base (some 2 MB a
 * second) does not. Progress counts the target twice: searched, and compressed.
 */
export async function encode(
  base: Uint8Array,
  target: Uint8Array,
  { signal, onProgress }: FileOptions = {},
): Promise<Uint8Array> {
  const total = 2 * target.length;
  const run = async <T>(work: Generator<number, T>, before: number): Promise<T> => {
    for (;;) {
      signal?.throwIfAborted();
      const step = work.next();
      if (step.done === true) return step.value;
      onProgress?.(before + step.value, total);
      await rest();
    }
  };
  const { triples, added, inserted } = await run(difference(base, target), 0);
  const control = await run(silent(compress(tripleBytes(triples))), target.length);
  const differences = await run(compress(added), target.length);
  const extra = await run(compress(inserted), target.length + added.length);
  onProgress?.(total, total);
  const head = headBytes({
    controlBytes: control.length,
    differenceBytes: differences.length,
    targetBytes: target.length,
  });
  return new Uint8Array(Buffer.concat([head, control, differences, extra]));
}

/** The control stream's bytes are none of the target's. */
function* silent<T>(work: Generator<number, T>): Generator<number, T> {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    yield 0;
  }
}

/** Deltas and patches of any length, as streams, against a virtual base. */

import type { DecodeOptions, RandomReader } from '@overdub/core/agent';
import type { BlockIndex } from './block-index.ts';
import { BlockSearcher } from './block-searcher.ts';
import { DeltaReader } from './delta-reader.ts';
import { type DeltaSink, DeltaWriter } from './delta-writer.ts';
import { invalid } from './format.ts';
import { createStrongSum } from './strong-sum.ts';

const PIECE_BYTES = 256 * 1024;

/** Streams the rdiff delta of `target` against the index's virtual base. Deterministic for equal bytes. */
export async function* deltaStream(
  index: BlockIndex,
  target: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  const writer = new DeltaWriter();
  let search: DeltaSink = writer;
  for (const group of index.groups.toReversed()) {
    search = new BlockSearcher(group, await createStrongSum(group.strong), search);
  }
  for await (const chunk of target) {
    for (let from = 0; from < chunk.length; from += PIECE_BYTES) {
      signal?.throwIfAborted();
      search.literal(chunk.subarray(from, from + PIECE_BYTES));
      const piece = writer.take();
      if (piece !== undefined) yield piece;
    }
  }
  signal?.throwIfAborted();
  search.end();
  const piece = writer.take();
  if (piece !== undefined) yield piece;
}

/** Applies an rdiff delta; see {@link SignatureFeature.patch}. Without `targetBytes` the delta decides the length. */
export async function* patchStream(
  base: RandomReader,
  delta: AsyncIterable<Uint8Array>,
  options: Partial<DecodeOptions>,
): AsyncGenerator<Uint8Array> {
  const { signal, targetBytes } = options;
  const reader = new DeltaReader({
    baseBytes: base.bytes,
    ...(targetBytes === undefined ? {} : { targetBytes }),
  });
  signal?.throwIfAborted();
  for await (const chunk of delta) {
    for (const command of reader.read(chunk)) {
      signal?.throwIfAborted();
      if (command.kind === 'literal') yield command.bytes;
      else yield* copyPieces(base, command.offset, command.length, signal);
    }
  }
  reader.finish();
}

async function* copyPieces(
  base: RandomReader,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < length; ) {
    signal?.throwIfAborted();
    const wanted = Math.min(PIECE_BYTES, length - done);
    const bytes = await base.read(offset + done, wanted);
    if (bytes.length !== wanted) {
      throw invalid(
        `The base gave ${bytes.length} of ${wanted} bytes at ${offset + done}: it is shorter than it said.`,
      );
    }
    yield bytes;
    done += wanted;
  }
}

import { createHash, type Hash } from 'node:crypto';
import { EMPTY_DIGEST } from '../../domain/content-ref.ts';
import type { ChunkRef, ContentRef, Digest } from '../../domain/manifest.ts';

/** Collects the chunks of one content in order. The first chunk's hash goes on as the whole's. */
export class Recipe {
  readonly #chunks: ChunkRef[] = [];
  #whole: Hash | undefined;
  #bytes = 0;

  /** Offset of the next chunk. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds the next chunk; returns its digest. */
  add(chunk: Uint8Array): Digest {
    const hash = createHash('sha256').update(chunk);
    if (this.#whole === undefined) this.#whole = hash.copy();
    else this.#whole.update(chunk);
    const digest = hash.digest('hex');
    this.#chunks.push({ digest, bytes: chunk.length });
    this.#bytes += chunk.length;
    return digest;
  }

  /** Call once. */
  finish(): ContentRef {
    const digest = this.#whole?.digest('hex') ?? EMPTY_DIGEST;
    return { digest, bytes: this.#bytes, chunks: this.#chunks };
  }
}

/**
 * Slices a stream into pieces of the given lengths, each good until the next is asked for. Ends early with a
 * short piece, or with one piece too many.
 */
export async function* sliceStream(
  source: AsyncIterable<Uint8Array>,
  lengths: readonly number[],
): AsyncGenerator<Uint8Array> {
  let slice = 0;
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const piece of source) {
    for (let from = 0; from < piece.length; ) {
      const wanted = lengths[slice];
      if (wanted === undefined) return yield piece.subarray(from);
      const part = piece.subarray(from, from + wanted - held);
      // Kept over the next piece of the source, whose owner may reuse its buffer.
      parts.push(held + part.length === wanted ? part : Uint8Array.prototype.slice.call(part));
      held += part.length;
      from += part.length;
      if (held < wanted) continue;
      yield parts.length === 1 ? part : Buffer.concat(parts);
      slice += 1;
      parts = [];
      held = 0;
    }
  }
  if (held > 0) yield Buffer.concat(parts);
}

import type { RandomReader } from '../../contracts/delta-codec.ts';
import { endsOf, firstEndBehind } from '../../domain/chunk-ends.ts';
import { CHUNK_LIMITS } from '../../domain/chunker.ts';
import { heardLater } from '../../domain/heard-later.ts';
import type { ChunkRef, ContentRef, Digest } from '../../domain/manifest.ts';
import { alone } from '../../domain/release.ts';
import { OverdubError } from '../../errors.ts';
import { ByteCache } from './byte-cache.ts';

/** Reads one verified chunk. */
export type ReadChunk = (digest: Digest) => Promise<Uint8Array>;

/** Chunks fetched ahead of the consumer: at most so many, of at most so many bytes in sum. */
const AHEAD_CHUNKS = 4;
const AHEAD_BYTES = CHUNK_LIMITS.max;
/** What a random reader keeps: two of the largest chunks. */
const RANDOM_BYTES = 2 * CHUNK_LIMITS.max;

/** A content's bytes in chunk order, a few chunks read ahead. Memory does not depend on its length. */
export async function* readContent(content: ContentRef, read: ReadChunk): AsyncGenerator<Uint8Array> {
  const waiting: { readonly bytes: number; readonly chunk: Promise<Uint8Array> }[] = [];
  let held = 0;
  for (let next = 0; next < content.chunks.length || waiting.length > 0; ) {
    const ahead = content.chunks[next];
    const room = waiting.length === 0 || (waiting.length < AHEAD_CHUNKS && held < AHEAD_BYTES);
    if (ahead !== undefined && room) {
      waiting.push({ bytes: ahead.bytes, chunk: heardLater(read(ahead.digest)) });
      held += ahead.bytes;
      next += 1;
      continue;
    }
    const first = waiting.shift();
    if (first === undefined) return;
    yield await first.chunk;
    held -= first.bytes;
  }
}

/** Random access to a content. Keeps the chunks it used last, 16 MiB at most. */
export function openContent(content: ContentRef, read: ReadChunk): RandomReader {
  const ends = endsOf(content.chunks);
  const cache = new ByteCache<Uint8Array>(RANDOM_BYTES);
  const listed = async (chunk: ChunkRef) => {
    const bytes = await read(chunk.digest);
    if (bytes.length !== chunk.bytes) throw wrongLength(chunk, bytes.length);
    return bytes;
  };
  const chunkAt = (at: number) => {
    const chunk = content.chunks[at] as ChunkRef;
    return cache.get(chunk.digest, chunk.bytes, async () => alone(await listed(chunk)));
  };
  return {
    bytes: content.bytes,
    async read(offset, length) {
      const stop = Math.min(content.bytes, offset + length);
      const [only, ...more] = content.chunks;
      // Read whole, it is not read again: nothing has to be copied out of its frame to be kept.
      if (only !== undefined && more.length === 0 && offset === 0 && stop === only.bytes)
        return await listed(only);
      const parts: Uint8Array[] = [];
      for (let at = firstEndBehind(ends, offset), from = offset; from < stop; at++) {
        const chunk = await chunkAt(at);
        const start = (ends[at] as number) - chunk.length;
        const part = chunk.subarray(from - start, Math.min(chunk.length, stop - start));
        parts.push(part);
        from += part.length;
      }
      return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
    },
  };
}

/** A list of chunks is its writer's word; the chunk itself is what its digest says. */
function wrongLength({ digest, bytes }: ChunkRef, length: number): OverdubError {
  return new OverdubError(
    'IMAGE_INVALID',
    `An image lists the chunk ${digest} with ${bytes} bytes; it has ${length}.`,
    'Take a new snapshot of the server whose image it is.',
  );
}

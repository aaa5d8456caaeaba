import type { ChunkRef } from './manifest.ts';

const known = new WeakMap<readonly ChunkRef[], Float64Array>();

/** Offset behind each chunk of a content. Counted once a list, for as long as the list lives. */
export function endsOf(chunks: readonly ChunkRef[]): Float64Array {
  const found = known.get(chunks);
  if (found !== undefined) return found;
  const ends = new Float64Array(chunks.length);
  let end = 0;
  for (let at = 0; at < ends.length; at++) {
    end += chunks[at]?.bytes ?? 0;
    ends[at] = end;
  }
  known.set(chunks, ends);
  return ends;
}

/** Index of the first chunk that ends behind `offset`. */
export function firstEndBehind(ends: Float64Array, offset: number): number {
  let low = 0;
  let high = ends.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ends[middle] as number) > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

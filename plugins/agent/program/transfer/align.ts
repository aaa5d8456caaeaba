/** Which chunks of a target are there already, and what the others probably were made from. */

import type { ChunkRef, ContentRef } from '@overdub/core/agent';

/** Targets of one segment, bytes, which whoever takes it holds in memory; a single larger chunk stands alone. */
const MAX_RUN_BYTES = 2 * 1024 * 1024;
/** A base reaches so far beyond the place where the target lies, bytes. */
const MARGIN_BYTES = 128 * 1024;

/** A part of a target, in order. Offsets are into the present content. */
export type Segment =
  | { readonly kind: 'local'; readonly chunk: ChunkRef; readonly offset: number }
  | { readonly kind: 'raw'; readonly chunks: readonly ChunkRef[] }
  | {
      readonly kind: 'delta';
      readonly chunks: readonly ChunkRef[];
      readonly base: readonly ChunkRef[];
      readonly baseOffset: number;
    };

/** Covers the whole target; without a present content it is all `raw`. */
export function align(target: ContentRef, present: ContentRef | undefined): Segment[] {
  if (present === undefined || present.chunks.length === 0) return rawRuns(target.chunks);
  const places = offsetsOf(present.chunks);
  const segments: Segment[] = [];
  let run: ChunkRef[] = [];
  let runBytes = 0;
  let offset = 0;
  let shift = 0;
  const endRun = () => {
    if (run.length > 0) segments.push(deltaOf(run, offset - runBytes + shift, runBytes, present));
    run = [];
    runBytes = 0;
  };
  for (const chunk of target.chunks) {
    const place = places.get(chunk.digest);
    if (place !== undefined || runBytes + chunk.bytes > MAX_RUN_BYTES) endRun();
    if (place === undefined) {
      run.push(chunk);
      runBytes += chunk.bytes;
    } else {
      segments.push({ kind: 'local', chunk, offset: place });
      shift = place - offset;
    }
    offset += chunk.bytes;
  }
  endRun();
  return segments;
}

function rawRuns(chunks: readonly ChunkRef[]): Segment[] {
  const segments: Segment[] = [];
  for (let from = 0; from < chunks.length; ) {
    let bytes = chunks[from]?.bytes ?? 0;
    let to = from + 1;
    for (; to < chunks.length && bytes + (chunks[to]?.bytes ?? 0) <= MAX_RUN_BYTES; to++)
      bytes += chunks[to]?.bytes ?? 0;
    segments.push({ kind: 'raw', chunks: chunks.slice(from, to) });
    from = to;
  }
  return segments;
}

function deltaOf(run: readonly ChunkRef[], at: number, bytes: number, present: ContentRef): Segment {
  const from = Math.min(at - MARGIN_BYTES, present.bytes - MARGIN_BYTES);
  const to = Math.max(at + bytes + MARGIN_BYTES, MARGIN_BYTES);
  const base: ChunkRef[] = [];
  let baseOffset = -1;
  let offset = 0;
  for (const chunk of present.chunks) {
    if (offset < to && offset + chunk.bytes > from) {
      if (baseOffset === -1) baseOffset = offset;
      base.push(chunk);
    }
    offset += chunk.bytes;
  }
  return { kind: 'delta', chunks: run, base, baseOffset: Math.max(0, baseOffset) };
}

function offsetsOf(chunks: readonly ChunkRef[]): Map<string, number> {
  const places = new Map<string, number>();
  let offset = 0;
  for (const chunk of chunks) {
    if (!places.has(chunk.digest)) places.set(chunk.digest, offset);
    offset += chunk.bytes;
  }
  return places;
}

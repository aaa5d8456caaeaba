/** How each chunk that a fetch wants is answered, and what is read ahead for it. */

import { heardLater } from '../domain/heard-later.ts';
import type { Digest } from '../domain/manifest.ts';
import type { Group, GroupPlan } from './given-groups.ts';
import type { Wants } from './wants.ts';

/** Behind the first of them so many chunks are read that go out by themselves: each may be made from many, read one after another. */
const CHUNKS_AHEAD = 3;
/** So long are they together at most, if none is longer than the longest so far; one is read in any case. */
const AHEAD_BYTES = 8 * 1024 * 1024;

export interface WaysOptions {
  readonly plan: GroupPlan;
  readonly wants: Wants;
  /** In a buffer that is the caller's to free. */
  readonly readChunk: (digest: Digest) => Promise<Uint8Array>;
}

/** How a want is answered; a chunk that goes out by itself is being read. */
export interface Way {
  readonly want: number;
  readonly way: 'chunk' | Group;
  readonly reading: Promise<Uint8Array> | undefined;
}

/** How each want is answered that is known and not answered yet. */
export async function* waysOf(
  { plan, wants, readChunk }: WaysOptions,
  at: { want: number },
): AsyncGenerator<Way> {
  const readings = new Set<Promise<unknown>>();
  try {
    for (let digest = wants.known(at.want); digest !== undefined; digest = wants.known(at.want)) {
      const want = at.want++;
      const way = await plan.next();
      if (way === 'given') continue;
      const reading = way === 'chunk' ? heardLater(readChunk(digest)) : undefined;
      if (reading !== undefined) {
        const over = () => readings.delete(reading);
        readings.add(reading);
        reading.then(over, over);
      }
      yield { want, way, reading };
    }
  } finally {
    await Promise.allSettled(readings);
  }
}

/**
 * Passes them on in order. One is asked for ahead, and more as long as what comes are chunks: no more than one frame is ahead. How long
 * a chunk is tells only who has read it, so that the first long ones behind short ones may be {@link CHUNKS_AHEAD} as well.
 */
export async function* chunksAhead(ways: AsyncGenerator<Way>): AsyncGenerator<Way> {
  const waiting: Promise<IteratorResult<Way>>[] = [];
  let isOver = false;
  let isLastChunk = false;
  let longest: number | undefined;
  const ask = () => {
    isLastChunk = false;
    const next = heardLater(ways.next());
    waiting.push(next);
    next.then(
      ({ done, value }) => {
        isLastChunk = done !== true && value.way === 'chunk';
        value?.reading?.then(wasRead, () => undefined);
        askMore();
      },
      () => undefined,
    );
  };
  const wasRead = ({ length }: Uint8Array) => {
    longest = Math.max(longest ?? 0, length);
    askMore();
  };
  const askMore = () => {
    const most = longest === undefined ? 1 : Math.min(CHUNKS_AHEAD, Math.floor(AHEAD_BYTES / longest));
    if (!isOver && isLastChunk && waiting.length < most) ask();
  };
  try {
    ask();
    for (;;) {
      const next = await (waiting.shift() as Promise<IteratorResult<Way>>);
      if (next.done === true) return;
      if (waiting.length === 0) ask();
      else askMore();
      yield next.value;
    }
  } finally {
    isOver = true;
    await Promise.allSettled(waiting);
    await ways.return(undefined);
  }
}

import type { NearHint } from '../../contracts/repository.ts';
import type { ContentRef, Digest } from '../../domain/manifest.ts';

/** How far behind and ahead of the last match the next one is looked for, chunks. */
const LOOK_BACK = 8;
const LOOK_AHEAD = 64;

/**
 * Follows a content along the contents it resembles: where bytes were inserted or removed, the chunks behind
 * are unchanged but moved, and tell by how much. Bases are then looked for at the moved offset.
 */
export class NearTracker {
  readonly #followed: readonly Followed[];

  constructor(contents: readonly ContentRef[]) {
    this.#followed = contents.map((content) => ({ content, at: 0, offset: 0, drift: 0 }));
  }

  /** The hint for the chunk that begins at `offset`. */
  hint(offset: number): NearHint {
    const contents = this.#followed.map(({ content, drift }) => shifted(content, drift));
    return { contents, offset };
  }

  /** Tells that the chunk at `offset` is this one. */
  saw(digest: Digest, offset: number): void {
    for (const followed of this.#followed) follow(followed, digest, offset);
  }
}

interface Followed {
  readonly content: ContentRef;
  /** Chunk index of the last match, and its offset. */
  at: number;
  offset: number;
  drift: number;
}

function follow(followed: Followed, digest: Digest, offset: number): void {
  const { chunks } = followed.content;
  let at = followed.at;
  let start = followed.offset;
  for (let back = 0; back < LOOK_BACK && at > 0; back++) {
    at -= 1;
    start -= chunks[at]?.bytes ?? 0;
  }
  const end = Math.min(chunks.length, followed.at + LOOK_AHEAD);
  for (; at < end; at++) {
    const chunk = chunks[at];
    if (chunk?.digest === digest) {
      Object.assign(followed, { at, offset: start, drift: start - offset });
      return;
    }
    start += chunk?.bytes ?? 0;
  }
}

/** Chunk lists stay as they are: the drift travels as a content that begins earlier or later. */
export interface ShiftedContent extends ContentRef {
  /** Add to an offset of the new content to get the one in this. */
  readonly drift?: number;
}

function shifted(content: ContentRef, drift: number): ShiftedContent {
  return drift === 0 ? content : { ...content, drift };
}

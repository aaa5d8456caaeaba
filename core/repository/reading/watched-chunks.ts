import type { Digest } from '../../domain/manifest.ts';
import type { PendingChunk, PendingChunks } from '../packs/pack-writer.ts';

/** Tells whether anything was read from the open session, and not from where it is stored. */
export class WatchedChunks implements PendingChunks {
  hasAnswered = false;
  readonly #pending: PendingChunks;

  constructor(pending: PendingChunks) {
    this.#pending = pending;
  }

  find(digest: Digest): PendingChunk | undefined {
    const held = this.#pending.find(digest);
    if (held !== undefined) this.hasAnswered = true;
    return held;
  }
}

/** Where a master comes from: a directory, a tar, an OCI archive. Runs on the appliance. */

import type { Entry } from '../domain/manifest.ts';

/** An entry with its bytes. `open` may be called at most once, before the next entry is asked for. */
export interface SourceEntry {
  readonly entry: Omit<Entry, 'content'>;
  /** Regular files only. */
  readonly bytes?: number;
  open?(): AsyncIterable<Uint8Array>;
}

export interface ImageSource {
  /** In the source's own order; paths are clean and unique. IMAGE_INVALID on hostile or truncated input. */
  entries(signal: AbortSignal): AsyncIterable<SourceEntry>;
  close(): Promise<void>;
}

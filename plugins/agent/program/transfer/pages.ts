/** Manifest pages of a record: built once into a file, never held all at once. */

import {
  type Digest,
  encodeFrame,
  FRAME,
  type ManifestRef,
  requestFrames,
  type UploadHead,
} from '@overdub/core/agent';
import type { Appliance } from '../link/appliance.ts';
import { PageStore } from './page-store.ts';
import type { RecordLine } from './record.ts';

/** Page digests offered at once. */
const BATCH = 60_000;
const NO_BASES: UploadHead = { files: [], virtual: 0 };

/** Sends the pages of these lines that the appliance lacks; `file` holds them meanwhile. Returns the manifest. */
export async function sendPages(
  appliance: Appliance,
  transfer: string,
  lines: AsyncIterable<RecordLine>,
  file: string,
  signal: AbortSignal,
  bandwidth?: number,
): Promise<ManifestRef> {
  const store = await PageStore.build(file, lines);
  try {
    const digests = store.digests();
    const missing: Digest[] = [];
    for (let from = 0; from < digests.length; from += BATCH) {
      const some = digests.slice(from, from + BATCH);
      const asked = await appliance.offer(transfer, 'pages', some, signal);
      missing.push(...some.filter((_, at) => asked(at)));
    }
    if (missing.length > 0) {
      const body = requestFrames(NO_BASES, frames(store, missing));
      await appliance.upload(transfer, body, signal, { bandwidth });
    }
    return store.manifest;
  } finally {
    await store.remove();
  }
}

async function* frames(store: PageStore, missing: readonly Digest[]): AsyncGenerator<Uint8Array> {
  for await (const bytes of store.pages(missing)) yield* encodeFrame(FRAME.page, bytes);
}

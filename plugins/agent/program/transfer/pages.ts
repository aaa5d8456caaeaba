/** Manifest pages of a record: built as often as they are needed, never held all at once. */

import {
  type BuiltPage,
  type Digest,
  encodeFrame,
  FRAME,
  type ManifestRef,
  PageBuilder,
  requestFrames,
  type UploadHead,
} from '@overdub/core/agent';
import type { Appliance } from '../link/appliance.ts';
import { entriesOf, readRecord } from './record.ts';

/** Page digests offered at once. */
const BATCH = 60_000;
const NO_BASES: UploadHead = { files: [], virtual: 0 };

/** Every page of a record, the root last; `done` hears of the manifest. */
export async function* pagesOf(
  record: string,
  done: (manifest: ManifestRef) => void,
): AsyncGenerator<BuiltPage> {
  const builder = new PageBuilder();
  for await (const entry of entriesOf(readRecord(record))) yield* builder.add(entry);
  const { pages, manifest } = builder.finish();
  yield* pages;
  done(manifest);
}

/** Sends the pages that the appliance lacks; returns the manifest. */
export async function sendPages(
  appliance: Appliance,
  transfer: string,
  record: string,
  signal: AbortSignal,
): Promise<ManifestRef> {
  let manifest: ManifestRef | undefined;
  const digests: Digest[] = [];
  for await (const page of pagesOf(record, (made) => (manifest = made))) digests.push(page.digest);
  const missing = new Set<Digest>();
  for (let from = 0; from < digests.length; from += BATCH) {
    const some = digests.slice(from, from + BATCH);
    const asked = await appliance.offer(transfer, 'pages', some, signal);
    for (const [at, digest] of some.entries()) if (asked(at)) missing.add(digest);
  }
  if (missing.size > 0) {
    await appliance.upload(transfer, requestFrames(NO_BASES, frames(record, missing)), signal);
  }
  return manifest as ManifestRef;
}

async function* frames(record: string, missing: ReadonlySet<Digest>): AsyncGenerator<Uint8Array> {
  for await (const page of pagesOf(record, () => undefined)) {
    if (missing.has(page.digest)) yield* encodeFrame(FRAME.page, page.bytes);
  }
}

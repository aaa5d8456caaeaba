/** The manifest of an image: its entries as they come, or as a record. */

import type { Entry, ManifestRef } from '@overdub/core/agent';
import type { Appliance } from '../link/appliance.ts';
import { PageStore } from './page-store.ts';
import { type RecordLine, writeRecord } from './record.ts';

interface Context {
  readonly appliance: Appliance;
  readonly signal: AbortSignal;
}

export interface WantedImage {
  readonly server: string;
  readonly image: ManifestRef;
  /** Pages of it are made of these lines as far as that goes. */
  readonly have: AsyncIterable<RecordLine>;
  /** Holds pages meanwhile; beside it lie those that come. */
  readonly scratch: string;
  /** Are its contents fetched next? */
  readonly willFetch?: boolean;
}

/** Fetches the pages that what is here does not have, and gives out the image's entries, in order, as far as they have come. */
export async function* fetchEntries(
  { appliance, signal }: Context,
  what: WantedImage,
): AsyncGenerator<Entry> {
  const { server, image, have, scratch, willFetch = false } = what;
  const head = { image, ...(willFetch ? { server, willFetch } : {}) };
  const pages = await PageStore.build(scratch, have);
  try {
    yield* pages.entries(appliance, head, signal);
  } finally {
    await pages.remove();
  }
}

/** The same, as lines without stamps, into `record`. */
export async function fetchRecord(
  context: Context,
  what: WantedImage & { readonly record: string },
): Promise<void> {
  const { server, image, record } = what;
  await writeRecord(record, { server, manifest: image }, asLines(fetchEntries(context, what)));
}

async function* asLines(entries: AsyncIterable<Entry>): AsyncGenerator<RecordLine> {
  for await (const entry of entries) yield { entry };
}

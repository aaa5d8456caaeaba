/** The manifest of an image as a record. */

import type { ManifestRef } from '@overdub/core/agent';
import type { Appliance } from '../link/appliance.ts';
import { PageStore } from './page-store.ts';
import { type RecordLine, writeRecord } from './record.ts';

/** Fetches the pages that what is here does not have, and writes the image's lines (without stamps) to `record`. */
export async function fetchRecord(
  { appliance, signal }: { readonly appliance: Appliance; readonly signal: AbortSignal },
  what: {
    readonly server: string;
    readonly image: ManifestRef;
    readonly have: AsyncIterable<RecordLine>;
    /** Holds pages meanwhile. */
    readonly scratch: string;
    readonly record: string;
    /** Are its contents fetched next? */
    readonly willFetch?: boolean;
  },
): Promise<void> {
  const { server, image, have, scratch, record, willFetch = false } = what;
  const head = { image, ...(willFetch ? { server, willFetch } : {}) };
  const pages = await PageStore.build(scratch, have);
  try {
    await writeRecord(record, { server, manifest: image }, asLines(pages.entries(appliance, head, signal)));
  } finally {
    await pages.remove();
  }
}

async function* asLines(entries: AsyncIterable<RecordLine['entry']>): AsyncGenerator<RecordLine> {
  for await (const entry of entries) yield { entry };
}

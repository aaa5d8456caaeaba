/** What keeps chunks alive: the committed images. */

import type { ManifestRef } from '../../domain/manifest.ts';
import type { Master } from '../../domain/master.ts';
import { formatMaster } from '../../domain/master.ts';
import type { Snapshot } from '../../domain/snapshot.ts';
import type { RecordStore } from './records.ts';

/** A committed image and whose it is. */
export interface Root {
  readonly manifest: ManifestRef;
  /** `web-1@<snapshot id>` or `web@3`, for people. */
  readonly label: string;
  readonly snapshot?: Snapshot;
  readonly master?: Master;
}

/** Every committed image, one at a time. REPOSITORY_DAMAGED at a commit object that cannot be read. */
export async function* rootsOf(records: RecordStore): AsyncGenerator<Root> {
  for await (const { value } of records.each(['masters'])) yield rootOfMaster(value as Master);
  for await (const { value } of records.each(['snapshots'])) yield rootOfSnapshot(value as Snapshot);
}

export function rootOfSnapshot(snapshot: Snapshot): Root {
  return { manifest: snapshot.manifest, label: `${snapshot.server}@${snapshot.id}`, snapshot };
}

export function rootOfMaster(master: Master): Root {
  return { manifest: master.manifest, label: formatMaster(master), master };
}

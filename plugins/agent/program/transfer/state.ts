/** What the agent keeps between snapshots of one server. All of it is cache: removing it costs time, no data. */

import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type RecordHeader, removeHead, syncRecord, writeHead } from './record.ts';

/** The record that the next scan compares with. */
export function recordPath(stateDir: string): string {
  return join(stateDir, 'record');
}

/** Makes a spool the record, once the image it describes is committed. */
export async function keepRecord(stateDir: string, spool: string, header: RecordHeader): Promise<void> {
  const path = recordPath(stateDir);
  // In between there is a record of no known image, which is as good as none: never one with another's name.
  await removeHead(path);
  await syncRecord(spool);
  await rename(spool, path);
  await writeHead(path, header);
}

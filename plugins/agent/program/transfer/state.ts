/** What the agent keeps between snapshots of one server. All of it is cache: removing it costs time, no data. */

import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ManifestRef } from '@overdub/core/agent';
import { syncFile } from '../state-file.ts';
import { type RecordHeader, readHeader, removeHead, removeRecord, writeHead } from './record.ts';

/** The record that the next scan compares with. */
export function recordPath(stateDir: string): string {
  return join(stateDir, 'record');
}

/**
 * Makes a spool the record, once the image it describes is committed. That stands whatever happens here: where the record cannot be kept
 * there is none afterwards, also none of before, as far as that can be removed, and `print` is told. Never rejects.
 */
export async function keepRecord(
  stateDir: string,
  spool: string,
  header: RecordHeader,
  print: (line: string) => void,
): Promise<void> {
  const path = recordPath(stateDir);
  try {
    // In between there is a record of no known image, which is as good as none: never one with another's name.
    await removeHead(path);
    await syncFile(spool);
    await rename(spool, path);
    await writeHead(path, header);
  } catch (why) {
    await removeRecord(path).catch(() => undefined);
    await rm(spool, { force: true }).catch(() => undefined);
    print(
      `the record of the snapshot could not be kept, so that the next one may have to read every file: ${why}`,
    );
  }
}

/** Where the record lies, if it is that of this image; undefined when it is another's, or could not be kept. */
export async function recordOf(stateDir: string, { root }: ManifestRef): Promise<string | undefined> {
  const path = recordPath(stateDir);
  return (await readHeader(path))?.manifest?.root === root ? path : undefined;
}

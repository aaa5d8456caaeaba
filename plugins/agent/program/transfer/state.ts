/** What the agent keeps between snapshots of one server. All of it is cache: removing it costs time, no data. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '@overdub/core/agent';
import { type RecordHeader, type RecordLine, readRecord, writeRecord } from './record.ts';
import { DELTA_MIN_BYTES, type SignatureStore } from './signatures.ts';

/** The record that the next scan compares with. */
export function recordPath(stateDir: string): string {
  return join(stateDir, 'record');
}

/** Makes a spool the record, once the image it describes is committed; drops signatures that nothing needs. */
export async function keepRecord(
  stateDir: string,
  spool: string,
  header: RecordHeader,
  signatures: SignatureStore | undefined,
): Promise<void> {
  const large = new Map<Digest, bigint>();
  await writeRecord(recordPath(stateDir), header, settled(readRecord(spool), large));
  await rm(spool, { force: true });
  await signatures?.prune(large);
}

/** Without what only the snapshot needed; collects the large contents with their times. */
async function* settled(
  lines: AsyncIterable<RecordLine>,
  large: Map<Digest, bigint>,
): AsyncGenerator<RecordLine> {
  for await (const { entry, stamp } of lines) {
    if ((entry.content?.bytes ?? 0) >= DELTA_MIN_BYTES) {
      large.set((entry.content as { digest: Digest }).digest, BigInt(entry.mtimeNs));
    }
    yield { entry, ...(stamp === undefined ? {} : { stamp }) };
  }
}

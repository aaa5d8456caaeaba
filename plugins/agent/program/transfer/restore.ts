/** Makes a root equal to an image: everything present is hashed, only what differs moves. */

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type ContentRef,
  type DeltaCodec,
  type Digest,
  type Entry,
  hasManyEntries,
  type Imager,
  type ManifestRef,
  type Progress,
  type RestoreResult,
  ROOM,
  withRoom,
} from '@overdub/core/agent';
import type { Appliance } from '../link/appliance.ts';
import { Receiver } from '../receiver/receiver.ts';
import { FetchingSource } from './content-source.ts';
import { Fetcher } from './fetch.ts';
import { fetchEntries, fetchRecord, type WantedImage } from './fetch-record.ts';
import { GrowingRecord, type OnFile } from './growing-record.ts';
import { entriesOf, type RecordLine, readHeader, readRecord, writeRecord } from './record.ts';
import { RecordCursor } from './record-cursor.ts';
import { placeRecord, writeRestored } from './restored-record.ts';
import { type ScanRequest, scanImage } from './scan.ts';
import { recordPath } from './state.ts';

/** Changed files whose present state is remembered as a base; the rest are fetched whole. */
const MAX_BASES = 100_000;

export interface RestoreContext {
  readonly appliance: Appliance;
  readonly imager: Imager;
  readonly codecs: readonly DeltaCodec[];
  readonly root: string;
  /** Scratch space, outside the root's image. */
  readonly workDir: string;
  /** A record that this very program made by reading everything, since when nothing else wrote to the root. */
  readonly vouched?: string;
  /** A record of this root, however old: what it lists of the image need not travel. Nothing else is believed of it. */
  readonly record?: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  /** A line for the log. */
  readonly print: (line: string) => void;
  readonly nowNs: () => bigint;
}

export interface RestoreOrder {
  readonly server: string;
  readonly image: ManifestRef;
  readonly excludes: readonly string[];
  readonly keep: readonly string[];
  readonly only: readonly string[];
  readonly dryRun: boolean;
  /** The root's filesystem was made for this. */
  readonly blank?: boolean;
}

/** Rejects with coded errors; interrupted anywhere and run again it comes to the same end. */
export async function restoreImage(context: RestoreContext, order: RestoreOrder): Promise<RestoreResult> {
  const isMany = hasManyEntries(order.image);
  // Not where memory is what there is too little of. Started now, it is ready when contents are asked for.
  const receiver = isMany || order.dryRun ? undefined : receiverFor(context);
  try {
    const room = isMany ? ROOM.restoreOfMany : ROOM.restore;
    return await withRoom(room, () => restore(context, order, receiver));
  } finally {
    await receiver?.close();
  }
}

/** Where a thread can be had; without one everything goes its way all the same, only slower. */
function receiverFor({ appliance, print }: RestoreContext): Receiver | undefined {
  try {
    return Receiver.start(appliance.url);
  } catch (error) {
    print(`no thread could be started to receive contents, so that this takes longer: ${error}`);
    return undefined;
  }
}

async function restore(
  context: RestoreContext,
  order: RestoreOrder,
  receiver: Receiver | undefined,
): Promise<RestoreResult> {
  const { appliance, imager, root, workDir, signal, onProgress } = context;
  await mkdir(workDir, { recursive: true, mode: 0o700 });
  const present = join(workDir, 'present');
  const target = join(workDir, 'target');
  const before = { ...appliance.bytes };
  // Of an earlier one that did not come to its end.
  await rm(restoredPath(workDir), { force: true });
  const wanted = { ...order, scratch: join(workDir, 'pages'), willFetch: !order.dryRun };
  // Where nothing is, nothing has to be compared with the whole image first.
  const alone = context.vouched === undefined ? await rootAlone(context, order) : undefined;
  if (alone === undefined) await recordBoth(context, order, wanted, { target, present });
  const bases = alone === undefined ? await basesOf(target, present) : new Map<Digest, ContentRef>();
  const fetcher = new Fetcher({
    appliance,
    image: order.image,
    server: order.server,
    codecs: context.codecs,
    signal,
    receiver,
  });
  const source = new FetchingSource(fetcher, bases);
  const apply = (entries: AsyncIterable<Entry>, onFile?: OnFile) =>
    imager.apply(root, entries, alone ?? entriesOf(readRecord(present)), source, {
      signal,
      onProgress: (doneBytes) => onProgress({ doneBytes, text: 'writing' }),
      ...(onFile === undefined ? {} : { onFile }),
      excludes: order.excludes,
      dryRun: order.dryRun,
      blank: order.blank === true || alone !== undefined,
      mayUseThread: !hasManyEntries(order.image),
      ...(order.keep.length === 0 ? {} : { keep: order.keep }),
      ...(order.only.length === 0 ? {} : { only: order.only }),
    });
  try {
    const entries =
      alone === undefined
        ? entriesOf(readRecord(target))
        : fetchEntries(context, { ...wanted, have: known(context.record) });
    const isRecorded = isWhole(order);
    const result = await (isRecorded && alone !== undefined
      ? recordedAlong(context, order, entries, apply)
      : apply(entries));
    if (isRecorded && alone === undefined) {
      const header = { server: order.server, manifest: order.image };
      await writeRestored(restoredPath(workDir), header, { target, present }).catch(lost(context));
    }
    return {
      ...result,
      bytesReceived: appliance.bytes.received - before.received,
      bytesSent: appliance.bytes.sent - before.sent,
    };
  } finally {
    await source.close();
    for (const spool of [target, present]) await discard(spool);
  }
}

/** Runs `apply`, and leaves the record that {@link recordRestored} lays down; without the room for it, only says so. */
async function recordedAlong<T>(
  context: RestoreContext,
  order: RestoreOrder,
  entries: AsyncIterable<Entry>,
  apply: (entries: AsyncIterable<Entry>, onFile: OnFile) => Promise<T>,
): Promise<T> {
  const header = { server: order.server, manifest: order.image };
  const options = { header, nowNs: context.nowNs, onLost: lost(context) };
  const record = await GrowingRecord.create(restoredPath(context.workDir), options);
  try {
    const result = await apply(record.of(entries), record.onFile);
    await record.commit();
    return result;
  } catch (error) {
    record.abandon();
    throw error;
  }
}

/** A spool that cannot be removed takes room until the next one is written over it, and fails nothing that came right. */
async function discard(spool: string): Promise<void> {
  await rm(spool, { force: true }).catch(() => undefined);
}

/** The record saves the next snapshot work, and a restore does not fail for want of it. */
function lost({ print }: RestoreContext): (why: unknown) => void {
  return (why) =>
    print(
      `the record of what was restored could not be made, so that the next snapshot reads every file: ${why}`,
    );
}

/**
 * Lays down the record of what a restore left; where that could not be made the one before is taken away. Where only part of the image
 * was asked for, the one before is kept or removed as `afterPart` says: on a disk that was broken into, it may be an intruder's word.
 * STATE_UNWRITABLE when it cannot be removed. Does nothing after a dry run.
 */
export async function recordRestored(
  context: RestoreContext,
  order: RestoreOrder,
  stateDir: string,
  afterPart: 'keep' | 'remove' = 'keep',
): Promise<void> {
  if (order.dryRun || (!isWhole(order) && afterPart === 'keep')) return;
  await placeRecord(restoredPath(context.workDir), recordPath(stateDir), lost(context));
}

/**
 * What is wanted and what is there, each as a record. Where none vouches, every byte that is there is read: most of it is what the
 * image wants, whose chunk lists come from the appliance, so that one SHA-256 tells, and only what differs is cut and named anew.
 */
async function recordBoth(
  context: RestoreContext,
  order: RestoreOrder,
  wanted: Omit<WantedImage, 'have'>,
  { target, present }: { readonly target: string; readonly present: string },
): Promise<void> {
  const { record, vouched } = context;
  const want = (have: AsyncIterable<RecordLine>) => fetchRecord(context, { ...wanted, have, record: target });
  const look = (trusted: Trusted) =>
    writeRecord(present, { server: order.server }, hashPresent(context, order, trusted));
  if (vouched === undefined) {
    await want(known(record));
    await look({ trust: 'nothing', previous: target, vouched: true });
  } else {
    await look({ trust: 'stat', previous: vouched });
    await want(readRecord(present));
  }
}

type Trusted = Pick<ScanRequest, 'trust' | 'previous' | 'vouched'>;

function hashPresent(
  { imager, root, signal, nowNs, onProgress }: RestoreContext,
  { excludes }: RestoreOrder,
  trusted: Trusted,
): AsyncIterable<RecordLine> {
  let doneBytes = 0;
  return scanImage({
    imager,
    root,
    signal,
    nowNs,
    signatures: undefined,
    excludes,
    ...trusted,
    onSkip: () => undefined,
    onFile: (bytes) => {
      doneBytes += bytes;
      onProgress({ doneBytes, text: 'hashing what is there' });
    },
  });
}

/** The lines of a record, as far as it is there and can be read: with fewer, more pages travel. */
async function* known(record: string | undefined): AsyncGenerator<RecordLine> {
  if (record === undefined || (await readHeader(record)) === undefined) return;
  try {
    yield* readRecord(record);
  } catch {
    // A cache, and each page of it is compared by its digest.
  }
}

/** Target content → what lies at its path now, where both are files and differ. */
async function basesOf(target: string, present: string): Promise<Map<Digest, ContentRef>> {
  const bases = new Map<Digest, ContentRef>();
  const there = new RecordCursor(present);
  try {
    for await (const { entry } of readRecord(target)) {
      const now = there.seek(entry.path)?.entry.content;
      const differs = entry.content !== undefined && now !== undefined && now.digest !== entry.content.digest;
      if (differs && now.bytes > 0 && bases.size < MAX_BASES)
        bases.set((entry.content as ContentRef).digest, now);
    }
  } finally {
    there.close();
  }
  return bases;
}

/** The root itself, where nothing else is: nobody minds then what appears before it is whole. */
async function rootAlone(
  { imager, root, signal }: RestoreContext,
  { excludes }: RestoreOrder,
): Promise<AsyncIterable<Entry> | undefined> {
  const found: Entry[] = [];
  for await (const { entry } of imager.scan(root, { excludes, signal, onSkip: () => undefined })) {
    if (entry.path !== '') return undefined;
    found.push(entry);
  }
  return each(found);
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

/** Only then does what is there afterwards agree with the image. */
function isWhole({ dryRun, keep, only }: RestoreOrder): boolean {
  return !dryRun && keep.length === 0 && only.length === 0;
}

/** What {@link recordRestored} lays down. */
function restoredPath(workDir: string): string {
  return join(workDir, 'restored');
}

/** Scans a root into a record: unchanged files by their stamps, changed ones read once. */

import {
  type FileStamp,
  type Imager,
  isUnder,
  type ScannedEntry,
  type SkippedPath,
} from '@overdub/core/agent';
import type { HeldLine } from './held-line.ts';
import { mapOrdered } from './ordered.ts';
import { type ReadContent, type ReadOptions, readContent, sameStamp } from './read-file.ts';
import type { RecordLine } from './record.ts';
import { RecordCursor } from './record-cursor.ts';
import { isSettled } from './settled.ts';

/** Files read at once; each holds a piece or two. */
const AT_ONCE = 8;

export interface ScanRequest extends Omit<ReadOptions, 'tree'> {
  readonly imager: Imager;
  readonly root: string;
  readonly excludes: readonly string[];
  /** `stat`: an equal stamp vouches for a file. `nothing`: every byte is read. */
  readonly trust: 'stat' | 'nothing';
  /** Record of earlier contents, when there is one. */
  readonly previous?: string;
  /** The earlier contents came from the appliance: their chunk lists are true, whatever this machine is. */
  readonly vouched?: boolean;
  readonly only?: readonly string[];
  /** Trees that are left out, without a word: they are scanned later. */
  readonly except?: readonly string[];
  readonly onSkip: (skipped: SkippedPath) => void;
  readonly onFile?: (bytes: number) => void;
}

interface Joined {
  readonly scanned: ScannedEntry;
  readonly previous: HeldLine | undefined;
}

/** The lines of the new record, in manifest order. */
export async function* scanImage(request: ScanRequest): AsyncGenerator<RecordLine> {
  const beganNs = request.nowNs();
  const tree = request.imager.openTree(request.root);
  try {
    const from = { ...request, tree };
    const lines = mapOrdered(joinPrevious(request), AT_ONCE, (item) => lineOf(from, item, beganNs));
    const lost = new Set<string>();
    for await (const line of lines) {
      if (typeof line === 'string') lost.add(line);
      else if (lost.size === 0 || line.entry.type !== 'hardlink' || !lost.has(line.entry.target ?? ''))
        yield line;
      // A hard link to a file that had to be left out would dangle.
      else request.onSkip({ path: line.entry.path, reason: 'vanished' });
    }
  } finally {
    tree.close();
  }
}

type Scan = ScanRequest & ReadOptions;

/** The line of one entry, at once unless it has to be read; its path alone when its content could not be had. */
function lineOf(
  request: Scan,
  { scanned, previous }: Joined,
  beganNs: bigint,
): RecordLine | string | Promise<RecordLine | string> {
  // The imager gave back what it was told: not even the metadata has changed.
  if (previous === scanned) return previous;
  const { entry, stamp } = scanned;
  if (entry.type !== 'file' || stamp === undefined) {
    const settled = stamp !== undefined && isSettled(stamp, beganNs);
    return besides(previous, settled ? { entry, stamp } : { entry });
  }
  const before = previous?.entry.content;
  const trusted =
    request.trust === 'stat' && previous?.stamp !== undefined && sameStamp(previous.stamp, stamp);
  if (before !== undefined && trusted && before.bytes === stamp.size) {
    return { entry: { ...entry, content: before }, stamp };
  }
  return readLine(request, entry, stamp, previous);
}

function readLine(
  request: Scan,
  entry: ScannedEntry['entry'],
  found: FileStamp,
  previous: RecordLine | undefined,
): RecordLine | string | Promise<RecordLine | string> {
  const before = previous?.entry.content;
  const known = request.trust === 'nothing' && request.vouched === true ? before : undefined;
  const line = (read: ReadContent) => readToLine(request, entry, read, previous);
  const lost = (error: unknown) => lostPath(request, entry.path, error);
  try {
    const read = readContent(request, { path: entry.path, found, known, before });
    return read instanceof Promise ? read.then(line).catch(lost) : line(read);
  } catch (error) {
    return lost(error);
  }
}

function readToLine(
  request: Scan,
  entry: ScannedEntry['entry'],
  read: ReadContent,
  previous: RecordLine | undefined,
): RecordLine {
  const before = previous?.entry.content;
  request.onFile?.(read.content.bytes);
  if (read.changing) request.onSkip({ path: entry.path, reason: 'changing' });
  return besides(previous, {
    entry: { ...entry, mtimeNs: read.stamp.mtimeNs, content: read.content },
    ...(read.settled ? { stamp: read.stamp } : {}),
    ...(before?.digest === read.content.digest ? {} : { changed: true as const }),
    ...(before === undefined ? {} : { before }),
  });
}

function lostPath(request: Scan, path: string, error: unknown): string {
  request.signal.throwIfAborted();
  const gone = (error as NodeJS.ErrnoException).code === 'ENOENT';
  request.onSkip({ path, reason: gone ? 'vanished' : 'unreadable' });
  return path;
}

/** Tells where an entry is what it was, and only its stamp is another: the image is the same then. */
function besides(previous: RecordLine | undefined, line: RecordLine): RecordLine {
  const same = previous !== undefined && JSON.stringify(previous.entry) === JSON.stringify(line.entry);
  return same ? { ...line, same } : line;
}

/** Pairs what is there with what was there. */
async function* joinPrevious(request: ScanRequest): AsyncGenerator<Joined> {
  const { imager, root, excludes, onSkip, signal, only, except = [] } = request;
  const cursor = request.previous === undefined ? undefined : new RecordCursor(request.previous);
  try {
    const known =
      request.trust === 'stat' && cursor !== undefined ? { known: cursor.still.bind(cursor) } : {};
    const all = imager.scan(root, {
      excludes,
      onSkip,
      signal,
      ...known,
      ...(only === undefined ? {} : { only }),
    });
    for await (const scanned of all) {
      // Of what was given back, the path is at hand: nothing of it need be parsed for it.
      const held = cursor?.line === scanned ? cursor.line : undefined;
      const path = held === undefined ? scanned.entry.path : (cursor?.path as string);
      if (except.some((tree) => isUnder(path, tree))) continue;
      yield { scanned, previous: held ?? cursor?.seek(path) };
    }
  } finally {
    cursor?.close();
  }
}

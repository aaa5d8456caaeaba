/** Sends changed contents: offers their chunks, uploads what is missing, large ones as deltas. */

import {
  CHUNK_LIMITS,
  type Compression,
  type Digest,
  digestOf,
  encodeFrame,
  FRAME,
  GROUP_BYTES,
  type Imager,
  type ManifestRef,
  OverdubError,
  requestFrames,
  type TreeReader,
  type UploadHead,
} from '@overdub/core/agent';
import type { Appliance } from '../link/appliance.ts';
import { ConnectionLost } from '../link/connection-lost.ts';
import { type Bases, loadBases } from './bases.ts';
import { type OpenFile, openSource } from './copies.ts';
import { type DeltaTarget, deltaTarget, encodeDelta } from './deltas.ts';
import { Groups } from './group.ts';
import { sameStamp } from './read-file.ts';
import type { RecordLine } from './record.ts';
import { DELTA_MIN_BYTES, isLogLike, type SignatureStore } from './signatures.ts';

/** Chunks offered at once: bounds what is held in memory. */
const BATCH_CHUNKS = 8_000;
/** How often a batch is offered again after its connection broke. */
const TRIES = 5;

export interface SenderOptions {
  readonly appliance: Appliance;
  readonly transfer: string;
  readonly imager: Imager;
  readonly root: string;
  /** What the record of earlier contents belongs to, when the appliance has it too. */
  readonly base: ManifestRef | undefined;
  /** Name of the codec both sides have. */
  readonly codec: string | undefined;
  readonly signatures: SignatureStore | undefined;
  /** Bytes of chunks that the appliance takes compressed together at most; undefined: one by one. */
  readonly groupBytes: number | undefined;
  /** Bytes a second at most; undefined: as the line goes. */
  readonly bandwidth: number | undefined;
  readonly compression: Compression;
  readonly signal: AbortSignal;
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  readonly onBytes: (bytes: number) => void;
}

/** A file whose content the appliance may lack. */
export type ChangedFile = RecordLine & {
  readonly entry: { readonly content: NonNullable<RecordLine['entry']['content']> };
};

/** What is still tried: an upload that was refused is repeated without. */
interface Manner {
  deltas: boolean;
  /** Whether a file still holds what was read is told by its stamp, where it has one. */
  stamps: boolean;
  groups: boolean;
  /** Something was sent on the word of a stamp. */
  trusted: boolean;
}

export class Sender {
  readonly #options: SenderOptions;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /**
   * Sends what `lines` hold and the appliance lacks. Returns the paths whose files no longer held the bytes that
   * were read before: they must be read again.
   */
  async send(lines: AsyncIterable<RecordLine>): Promise<Set<string>> {
    const stale = new Set<string>();
    let batch: ChangedFile[] = [];
    let chunks = 0;
    for await (const line of lines) {
      if (!isChanged(line)) continue;
      batch.push(line);
      chunks += line.entry.content.chunks.length;
      if (chunks < BATCH_CHUNKS) continue;
      await this.#batch(batch, stale);
      batch = [];
      chunks = 0;
    }
    if (batch.length > 0) await this.#batch(batch, stale);
    return stale;
  }

  /** Offers and uploads until everything has arrived; with less art once some of it was refused. */
  async #batch(files: readonly ChangedFile[], stale: Set<string>): Promise<void> {
    const { imager, root, signal, sleep } = this.#options;
    const how: Manner = { deltas: true, stamps: true, groups: true, trusted: false };
    for (let attempt = 1; ; attempt++) {
      const missing = await this.#missing(files);
      if (missing.size === 0) return;
      // A root that is gone is nothing that the appliance refused: it says so at once.
      const tree = imager.openTree(root);
      try {
        await this.#upload(tree, files, missing, how, stale);
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (how.deltas && isRefusedDelta(error)) how.deltas = false;
        // A file changed and its stamp did not, as through a memory map: hashing tells which.
        else if (how.stamps && how.trusted && isRefusedGroup(error)) how.stamps = false;
        // Whatever a compressor may have got wrong: the bytes themselves are beyond doubt.
        else if (how.groups && isRefusedGroup(error)) how.groups = false;
        else if (!(error instanceof ConnectionLost) || attempt >= TRIES) throw error;
        else await sleep(attempt * 1000, signal);
      } finally {
        tree.close();
      }
    }
  }

  async #missing(files: readonly ChangedFile[]): Promise<Set<Digest>> {
    const { appliance, transfer, signal } = this.#options;
    const digests = [
      ...new Set(files.flatMap((file) => file.entry.content.chunks.map((chunk) => chunk.digest))),
    ];
    const missing = new Set<Digest>();
    for (let from = 0; from < digests.length; from += BATCH_CHUNKS) {
      const some = digests.slice(from, from + BATCH_CHUNKS);
      const asked = await appliance.offer(transfer, 'chunks', some, signal);
      for (const [at, digest] of some.entries()) if (asked(at)) missing.add(digest);
    }
    return missing;
  }

  async #upload(
    tree: TreeReader,
    files: readonly ChangedFile[],
    missing: Set<Digest>,
    how: Manner,
    stale: Set<string>,
  ): Promise<void> {
    const { appliance, transfer, signal, codec, base, signatures, bandwidth, groupBytes } = this.#options;
    const open = files.filter((file) => file.entry.content.chunks.some((chunk) => missing.has(chunk.digest)));
    const { deltas, groups } = how;
    const canDelta = deltas && codec !== undefined && signatures !== undefined;
    const bases =
      base === undefined || !deltas
        ? undefined
        : await loadBases(canDelta ? signatures : undefined, open, missing, (content) =>
            appliance.signature(base, content, codec as string, signal),
          );
    const head: UploadHead = {
      ...(canDelta && bases?.index !== undefined ? { codec } : {}),
      files: bases?.files ?? [],
      virtual: bases?.virtual ?? 0,
      ...(open.some(isLargeLog) ? { logs: true } : {}),
    };
    const body = requestFrames(head, this.#frames(tree, open, missing, bases, how, stale));
    // Without bases nothing goes alone, unless it fits into no group.
    const compressed = groups && bases === undefined && (groupBytes ?? 0) >= CHUNK_LIMITS.max;
    try {
      await appliance.upload(transfer, body, signal, { bandwidth, compressed });
    } finally {
      // Refused or broken off, it may still be reading: files of a tree that was closed would seem to be gone.
      await body.return(undefined);
    }
  }

  async *#frames(
    tree: TreeReader,
    files: readonly ChangedFile[],
    missing: Set<Digest>,
    bases: Bases | undefined,
    how: Manner,
    stale: Set<string>,
  ): AsyncGenerator<Uint8Array> {
    const groups = how.groups ? this.#groups(files, missing, bases) : undefined;
    try {
      yield* this.#contents(tree, files, missing, bases, groups, how, stale);
      if (groups !== undefined) yield* groups.end();
    } finally {
      await groups?.close();
    }
  }

  async *#contents(
    tree: TreeReader,
    files: readonly ChangedFile[],
    missing: ReadonlySet<Digest>,
    bases: Bases | undefined,
    groups: Groups | undefined,
    how: Manner,
    stale: Set<string>,
  ): AsyncGenerator<Uint8Array> {
    const left = new Set(missing);
    const logsFollow = files.some(isLargeLog);
    const reused = new ReusedRoom();
    for (const file of inSendingOrder(files)) {
      const near = bases?.near.get(file.entry.path);
      let offset = 0;
      let announced = -1;
      const source = await openSource(tree, file).catch(() => undefined);
      if (source === undefined) {
        stale.add(file.entry.path);
        continue;
      }
      try {
        const target = await deltaTarget(bases, this.#options.signatures, file, logsFollow);
        for (const chunk of file.entry.content.chunks) {
          const at = offset;
          offset += chunk.bytes;
          if (!left.has(chunk.digest)) continue;
          this.#options.signal.throwIfAborted();
          // What resembles an earlier content goes by itself: the appliance looks for a delta.
          const alone = near !== undefined || target !== undefined || !groups?.takes(chunk.bytes);
          const group = alone ? undefined : groups;
          if (group?.isFullFor(chunk.bytes)) yield* group.next();
          const room = target === undefined ? group?.room(chunk.bytes) : reused.room(chunk.bytes);
          const bytes = await source.read(at, chunk.bytes, room);
          const byStamp = how.stamps && group !== undefined && (await isUntouched(source, file));
          how.trusted ||= byStamp;
          if (bytes.length !== chunk.bytes || !(byStamp || digestOf(bytes) === chunk.digest)) {
            stale.add(file.entry.path);
            break;
          }
          left.delete(chunk.digest);
          if (near !== undefined && announced !== at) yield* encodeFrame(FRAME.near, nearPayload(near, at));
          if (group === undefined) yield* this.#chunk(bytes, at, bases, target);
          else group.add(bytes);
          announced = offset;
          this.#options.onBytes(bytes.length);
        }
      } finally {
        await source.close();
      }
      if (near !== undefined && announced !== -1) yield* encodeFrame(FRAME.near);
    }
  }

  #groups(
    files: readonly ChangedFile[],
    missing: ReadonlySet<Digest>,
    bases: Bases | undefined,
  ): Groups | undefined {
    const { groupBytes, compression } = this.#options;
    if (groupBytes === undefined) return undefined;
    let bytes = 0;
    for (const { entry } of files) {
      const { content, path } = entry;
      // These go alone, as deltas or next to what they resemble.
      if (bases?.near.has(path) || (bases?.index !== undefined && content.bytes >= DELTA_MIN_BYTES)) continue;
      for (const chunk of content.chunks) if (missing.has(chunk.digest)) bytes += chunk.bytes;
    }
    return new Groups(Math.min(bytes, groupBytes, GROUP_BYTES), compression);
  }

  async *#chunk(
    bytes: Uint8Array,
    at: number,
    bases: Bases | undefined,
    target: DeltaTarget | undefined,
  ): AsyncGenerator<Uint8Array> {
    if (bases === undefined || target === undefined) yield* encodeFrame(FRAME.chunk, bytes);
    else yield* encodeDelta(bases, target, bytes, at, this.#options.signal);
  }
}

/** Where one chunk after another is read to be made a delta of: a buffer for each was 200 MB of garbage in a snapshot. */
class ReusedRoom {
  #buffer: Buffer = Buffer.alloc(0);

  /** Good until it is asked for the next. */
  room(bytes: number): Uint8Array {
    if (this.#buffer.length < bytes) this.#buffer = Buffer.allocUnsafeSlow(bytes);
    return this.#buffer.subarray(0, bytes);
  }
}

/**
 * Has the file the stamp it had when it was read and named? Then it need not be hashed again: the appliance names what
 * arrives by its bytes, and refuses what was not asked for.
 */
async function isUntouched(source: OpenFile, { stamp }: ChangedFile): Promise<boolean> {
  const now = stamp === undefined ? undefined : await source.stamp?.();
  return stamp !== undefined && now !== undefined && sameStamp(now, stamp);
}

/** Small files first, then what changed in place, then new ones, then logs of changes. */
function inSendingOrder(files: readonly ChangedFile[]): readonly ChangedFile[] {
  const rank = (file: ChangedFile) => {
    if (file.entry.content.bytes < DELTA_MIN_BYTES) return 0;
    if (isLogLike(file.entry.path)) return 3;
    return file.before === undefined ? 2 : 1;
  };
  return files
    .map((file) => ({ file, rank: rank(file) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ file }) => file);
}

function isLargeLog({ entry }: ChangedFile): boolean {
  return entry.content.bytes >= DELTA_MIN_BYTES && isLogLike(entry.path);
}

function nearPayload(index: number, offset: number): Buffer {
  const payload = Buffer.alloc(10);
  payload.writeUInt32LE(index, 0);
  payload.writeUIntLE(offset, 4, 6);
  return payload;
}

function isChanged(line: RecordLine): line is ChangedFile {
  return line.changed === true && line.entry.content !== undefined && line.entry.content.bytes > 0;
}

function isRefusedGroup(error: unknown): boolean {
  return error instanceof OverdubError && error.code === 'INPUT_INVALID';
}

function isRefusedDelta(error: unknown): boolean {
  const codes = ['DELTA_INVALID', 'CONFLICT', 'DRIVER_MISSING', 'DELTA_TOO_LARGE', 'REPOSITORY_DAMAGED'];
  return error instanceof OverdubError && codes.includes(error.code);
}

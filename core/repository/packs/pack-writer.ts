import type { Digest } from '../../domain/manifest.ts';
import { release } from '../../domain/release.ts';
import { decompress, type Effort, pack } from './frame-encoding.ts';
import {
  type DeltaForm,
  encodeHeader,
  encodeTail,
  type FrameEncoding,
  HEADER_BYTES,
  MAX_FRAME_BYTES,
  type PackedChunk,
  type PackedFrame,
} from './pack-format.ts';

/**
 * Payloads are compressed together until their group has this many raw bytes, since neighbours repeat one another; one
 * that is as large as `lone` gets a frame of its own. What is done at leisure gets the largest frames that there may be.
 */
const GROUPS: Readonly<Record<Effort, { readonly bytes: number; readonly lone: number }>> = {
  compare: { bytes: 4 * 1024 * 1024, lone: 2 * 1024 * 1024 },
  store: { bytes: 4 * 1024 * 1024, lone: 2 * 1024 * 1024 },
  idle: { bytes: MAX_FRAME_BYTES, lone: MAX_FRAME_BYTES },
};
/**
 * Deltas that others may be made from, group by group, also at leisure: whoever puts many together reads a group of each,
 * and they have to fit in the reader's memory at a time.
 */
const DELTA_GROUP_BYTES = 512 * 1024;
/** Nor does a group hold more chunks than this: whoever reads one of them knows all of its neighbours for a moment. */
const GROUP_CHUNKS = 8192;
/** Frames being compressed at a time, so that raw bytes do not pile up. */
const MAX_COMPRESSING = 1;

/** A chunk on its way into a pack. */
export interface NewChunk {
  readonly digest: Digest;
  readonly bytes: number;
  /** The chunk, or the delta that makes it. Kept: the caller must not change it. */
  readonly payload: Uint8Array;
  readonly delta?: DeltaForm;
}

/** A chunk that is in memory only. */
export interface PendingChunk {
  readonly bytes: number;
  readonly payloadBytes: number;
  readonly delta?: DeltaForm;
  payload(): Promise<Uint8Array>;
}

/** Chunks that a session holds in memory. */
export interface PendingChunks {
  find(digest: Digest): PendingChunk | undefined;
}

/** A finished pack: the joined pieces are the file. */
export interface FinishedPack {
  readonly pieces: readonly Uint8Array[];
  readonly bytes: number;
  readonly frames: readonly PackedFrame[];
}

/** A frame's bytes as they are stored. */
export interface PackedBytes {
  readonly encoding: FrameEncoding;
  readonly stored: Uint8Array;
}

/** A chunk of a frame whose payload is the chunk. */
export interface WholeChunk {
  readonly digest: Digest;
  readonly bytes: number;
}

interface Draft {
  parts: Uint8Array[];
  rawBytes: number;
  readonly chunks: PackedChunk[];
  /** Does it hold a delta with placed bases? */
  isPlaced: boolean;
  /** Set when the frame is closed. */
  packed?: Promise<PackedBytes>;
  /** Set when it is packed; then `parts` is empty. */
  result?: PackedBytes;
}

/** Does the chunk belong in this group? Few deltas and a little else share one, many of either do not. */
function fits(group: Draft, { payload, delta }: NewChunk): boolean {
  const isMixed = group.isPlaced !== (delta?.places !== undefined);
  return group.rawBytes + payload.length <= (isMixed ? DELTA_GROUP_BYTES : MAX_FRAME_BYTES);
}

/** One pack in the making, in memory: in the order of appending, which is the order of restoring. */
export class PackWriter {
  readonly #drafts: Draft[] = [];
  readonly #chunks = new Map<Digest, { readonly draft: Draft; readonly chunk: PackedChunk }>();
  #group: Draft | undefined;
  #held = 0;
  #packed = 0;
  #compressing = new Set<Promise<unknown>>();
  /** Frames that are being opened now. */
  #opening = 0;
  /** The frame that was opened last: whoever reads one chunk of it reads the next. */
  #opened: { readonly draft: Draft; readonly raw: Promise<Uint8Array> } | undefined;
  readonly #effort: Effort;

  constructor(effort: Effort = 'store') {
    this.#effort = effort;
  }

  /** About what the pack holds in memory now, bytes. */
  get heldBytes(): number {
    return this.#held;
  }

  /** Compressed bytes so far: what the pack will be, but for the frames still open. */
  get packedBytes(): number {
    return this.#packed;
  }

  /** Chunks so far. */
  get chunks(): number {
    return this.#chunks.size;
  }

  /** Number of the frame that the last chunk went into, from 1. */
  get frame(): number {
    return this.#drafts.length;
  }

  /** Number of the frame that the next chunk may share; undefined when it begins one. */
  get openFrame(): number | undefined {
    return this.#group === undefined ? undefined : this.#drafts.length;
  }

  append(chunk: NewChunk): void {
    const { bytes, lone } = GROUPS[this.#effort];
    if (chunk.payload.length >= lone) {
      const draft = this.#newDraft();
      this.#place(draft, chunk);
      this.#seal(draft);
      return;
    }
    if (this.#group !== undefined && !fits(this.#group, chunk)) this.closeGroup();
    this.#group ??= this.#newDraft();
    const group = this.#group;
    this.#place(group, chunk);
    const full = group.isPlaced ? DELTA_GROUP_BYTES : bytes;
    if (group.rawBytes >= full || group.chunks.length >= GROUP_CHUNKS) this.closeGroup();
  }

  /** Takes a frame as it is: `stored` makes the chunks, one behind another. */
  appendFrame(frame: PackedBytes, chunks: readonly WholeChunk[]): void {
    const draft = this.#newDraft();
    for (const { digest, bytes } of chunks) {
      const chunk = { digest, bytes, at: draft.rawBytes, payloadBytes: bytes };
      draft.rawBytes += bytes;
      draft.chunks.push(chunk);
      this.#chunks.set(digest, { draft, chunk });
    }
    draft.packed = Promise.resolve(frame);
    draft.result = frame;
    this.#held += frame.stored.length;
    this.#packed += frame.stored.length;
  }

  /** Resolves when few enough frames are being compressed: await it between appends. */
  async settle(): Promise<void> {
    while (this.#compressing.size >= MAX_COMPRESSING) await Promise.race(this.#compressing);
  }

  find(digest: Digest): PendingChunk | undefined {
    const found = this.#chunks.get(digest);
    if (found === undefined) return undefined;
    const { draft, chunk } = found;
    return {
      bytes: chunk.bytes,
      payloadBytes: chunk.payloadBytes,
      ...(chunk.delta === undefined ? {} : { delta: chunk.delta }),
      payload: async () => {
        // While the group is open each payload is a part of its own.
        const part = draft.packed === undefined ? draft.parts[draft.chunks.indexOf(chunk)] : undefined;
        if (part !== undefined) return part;
        const raw = await this.#rawOf(draft);
        return raw.subarray(chunk.at, chunk.at + chunk.payloadBytes);
      },
    };
  }

  /** What comes next shares no frame with what came. */
  closeGroup(): void {
    if (this.#group !== undefined) this.#seal(this.#group);
    this.#group = undefined;
  }

  /** Closes the last frame and writes index and footer. Append nothing afterwards. */
  async finish(): Promise<FinishedPack> {
    this.closeGroup();
    this.#opened = undefined;
    const pieces: Uint8Array[] = [encodeHeader(this.#effort === 'idle')];
    const frames: PackedFrame[] = [];
    let offset = HEADER_BYTES;
    for (const draft of this.#drafts) {
      const { encoding, stored } = await (draft.packed as NonNullable<Draft['packed']>);
      pieces.push(stored);
      const { rawBytes, chunks } = draft;
      frames.push({ offset, storedBytes: stored.length, rawBytes, encoding, chunks });
      offset += stored.length;
    }
    const tail = encodeTail(frames);
    pieces.push(tail);
    return { pieces, bytes: offset + tail.length, frames };
  }

  /**
   * Frees the compressed bytes, for when the pack is stored and nobody reads its pieces any more. Look nothing up
   * afterwards: it is found in the store.
   */
  free(): void {
    // What another thread is decompressing has to stay.
    if (this.#opening > 0) return;
    for (const { result } of this.#drafts)
      if (result !== undefined && result.encoding !== 'raw') release(result.stored);
  }

  #newDraft(): Draft {
    const draft: Draft = { parts: [], rawBytes: 0, chunks: [], isPlaced: false };
    this.#drafts.push(draft);
    return draft;
  }

  #place(draft: Draft, { digest, bytes, payload, delta }: NewChunk): void {
    const chunk = {
      digest,
      bytes,
      at: draft.rawBytes,
      payloadBytes: payload.length,
      ...(delta === undefined ? {} : { delta }),
    };
    draft.parts.push(payload);
    draft.rawBytes += payload.length;
    draft.chunks.push(chunk);
    draft.isPlaced ||= delta?.places !== undefined;
    this.#chunks.set(digest, { draft, chunk });
    this.#held += payload.length;
  }

  #seal(draft: Draft): void {
    const raw = draft.parts.length === 1 ? (draft.parts[0] as Uint8Array) : Buffer.concat(draft.parts);
    draft.parts = [raw];
    const packed = pack(raw, this.#effort, draft.isPlaced).then((result) => {
      draft.result = result;
      draft.parts = [];
      this.#held += result.stored.length - raw.length;
      this.#packed += result.stored.length;
      return result;
    });
    draft.packed = packed;
    const done = packed.catch(() => undefined).finally(() => this.#compressing.delete(done));
    this.#compressing.add(done);
  }

  /** A draft's payloads, one behind another. A snapshot's pages are read back one by one: opening each time costs a frame. */
  #rawOf(draft: Draft): Promise<Uint8Array> {
    if (this.#opened?.draft === draft) return this.#opened.raw;
    const { result, parts, rawBytes } = draft;
    if (result === undefined) {
      return Promise.resolve(parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts));
    }
    this.#opening += 1;
    const raw = decompress(result.stored, { encoding: result.encoding, rawBytes }).finally(() => {
      this.#opening -= 1;
    });
    this.#opened = { draft, raw };
    raw.catch(() => {
      if (this.#opened?.raw === raw) this.#opened = undefined;
    });
    return raw;
  }
}

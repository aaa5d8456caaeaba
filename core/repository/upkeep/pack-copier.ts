import type { Digest } from '../../domain/manifest.ts';
import { release } from '../../domain/release.ts';
import { OverdubError } from '../../errors.ts';
import { WaitingGarbage } from '../../waiting-garbage.ts';
import type { ChunkIndex, MovedFrame } from '../chunk-index/chunk-index.ts';
import { readPackIndex } from '../chunk-index/read-pack-index.ts';
import { PACK_BYTES, PACK_CHUNKS, packName } from '../ingest/pack-queue.ts';
import { decompress, pack as packRaw } from '../packs/frame-encoding.ts';
import {
  encodeHeader,
  encodeTail,
  HEADER_BYTES,
  type PackedChunk,
  type PackedFrame,
} from '../packs/pack-format.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import { damaged } from '../store/damage.ts';
import type { PortableStore } from '../store/portable-store.ts';

/** Who says what is worth copying, and hears what was. */
export interface CopyJudge {
  has(digest: Digest): boolean;
  moved(source: CopySource): void;
}

/** A pack that is copied from. */
export interface CopySource {
  readonly id: number;
  readonly name: string;
  readonly bytes: number;
}

export interface PackCopierParts {
  readonly store: PortableStore;
  readonly index: ChunkIndex;
  readonly reader: ChunkReader;
}

interface Copied {
  readonly source: CopySource;
  readonly frame: MovedFrame;
  readonly stored: Uint8Array;
}

/**
 * Copies what lives in sparse packs into new ones, in order, each chunk in the form it has; frames that live wholly are
 * taken as they are. Every chunk is read and verified before its copy counts. Nothing is removed here.
 */
export class PackCopier {
  readonly #parts: PackCopierParts;
  readonly #judge: CopyJudge;
  readonly #garbage = new WaitingGarbage();
  #waiting: Copied[] = [];
  #offset = HEADER_BYTES;
  #chunks = 0;
  /** Bytes of new packs so far. */
  copiedBytes = 0;

  constructor(parts: PackCopierParts, judge: CopyJudge) {
    this.#parts = parts;
    this.#judge = judge;
  }

  /** REPOSITORY_DAMAGED when something alive in it cannot be read: then the rest of it stays where it is. */
  async copy(source: CopySource): Promise<void> {
    const frames = await readPackIndex(this.#parts.store, source.name, source.bytes).catch(
      (error: unknown) => {
        throw damaged(`${source.name} cannot be copied: its index is damaged.`, error);
      },
    );
    for (const frame of frames) {
      const copied = await this.#copyFrame(source, frame, async (chunk, payload) => {
        await this.#parts.reader.verify(chunk.digest, source.name, chunk, payload);
        return true;
      });
      if (copied !== undefined) await this.#take(copied);
    }
  }

  /** Copies whatever of it can be read, by these frames: for a pack whose own index is damaged. */
  async salvage(source: CopySource, frames: readonly PackedFrame[]): Promise<void> {
    for (const frame of frames) {
      const readable = (chunk: PackedChunk, payload: Uint8Array) =>
        this.#parts.reader.verify(chunk.digest, source.name, chunk, payload).then(() => true, isNoDamage);
      const copied = await this.#copyFrame(source, frame, readable).catch(isNoDamage);
      if (copied) await this.#take(copied);
    }
  }

  async #take(copied: Copied): Promise<void> {
    this.#garbage.check();
    this.#waiting.push({ ...copied, frame: { ...copied.frame, offset: this.#offset } });
    this.#offset += copied.stored.length;
    this.#chunks += copied.frame.chunks.length;
    if (this.#offset >= PACK_BYTES || this.#chunks >= PACK_CHUNKS) await this.flush();
  }

  /** Makes the copies durable; from then on they are what is read. REPOSITORY_FULL. */
  async flush(): Promise<void> {
    const copies = this.#waiting;
    this.#waiting = [];
    this.#offset = HEADER_BYTES;
    this.#chunks = 0;
    if (copies.length === 0) return;
    const frames = copies.map(({ frame }) => frame);
    const pieces = [encodeHeader(), ...copies.map(({ stored }) => stored), encodeTail(frames)];
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const name = packName();
    const isRead = await this.#parts.store.write(name, pieces);
    if (isRead) for (const { stored } of copies) release(stored);
    this.copiedBytes += bytes;
    const moved = this.#parts.index.movePack(name, bytes, frames);
    for (const { source, frame } of copies) {
      for (const { digest } of frame.chunks) if (moved.has(digest)) this.#judge.moved(source);
    }
  }

  async #copyFrame(
    source: CopySource,
    frame: PackedFrame,
    check: (chunk: PackedChunk, payload: Uint8Array) => Promise<boolean>,
  ): Promise<Copied | undefined> {
    const chunks = frame.chunks.filter((chunk) => this.#livesHere(source, frame, chunk));
    if (chunks.length === 0) return undefined;
    const range = { offset: frame.offset, length: frame.storedBytes };
    const stored = await this.#parts.store.read(source.name, range);
    if (stored?.length !== frame.storedBytes) throw damaged(`${source.name} is cut off or gone.`);
    const raw = await decompress(stored, frame).catch((error: unknown) => {
      throw damaged(`A frame of ${source.name} does not decompress.`, error);
    });
    const sound: PackedChunk[] = [];
    for (const chunk of chunks) if (await check(chunk, payloadOf(raw, chunk))) sound.push(chunk);
    const whole = sound.length === frame.chunks.length && fills(frame);
    const copied = whole
      ? { source, stored, frame: { ...frame, from: source.id } }
      : sound.length > 0
        ? await repack(source, raw, sound)
        : undefined;
    for (const bytes of [raw, stored]) if (bytes !== copied?.stored) release(bytes);
    return copied;
  }

  #livesHere({ name }: CopySource, frame: PackedFrame, { digest, at }: PackedChunk): boolean {
    if (!this.#judge.has(digest)) return false;
    const place = this.#parts.index.find(digest);
    return place?.pack === name && place.frame.offset === frame.offset && place.at === at;
  }
}

/** A frame of what lives of another. */
async function repack(source: CopySource, raw: Uint8Array, chunks: readonly PackedChunk[]): Promise<Copied> {
  const part = Buffer.concat(chunks.map((chunk) => payloadOf(raw, chunk)));
  const { encoding, stored } = await packRaw(part);
  let at = 0;
  const placed = chunks.map((chunk) => {
    const moved = { ...chunk, at };
    at += chunk.payloadBytes;
    return moved;
  });
  const frame = { offset: 0, storedBytes: stored.length, rawBytes: part.length, encoding, chunks: placed };
  return { source, stored, frame: { ...frame, from: source.id } };
}

function payloadOf(raw: Uint8Array, { at, payloadBytes }: PackedChunk): Uint8Array {
  return raw.subarray(at, at + payloadBytes);
}

/** Do its chunks fill it? Frames as the chunk index has them may lack some. */
function fills({ chunks, rawBytes }: PackedFrame): boolean {
  return chunks.reduce((sum, chunk) => sum + chunk.payloadBytes, 0) === rawBytes;
}

function isNoDamage(error: unknown): false {
  if (error instanceof OverdubError && error.code === 'REPOSITORY_DAMAGED') return false;
  throw error;
}

import { randomBytes } from 'node:crypto';
import type { ChunkIndex, MovedFrame } from './chunk-index.ts';
import type { ChunkReader } from './chunk-reader.ts';
import { damaged } from './damage.ts';
import type { LiveSet, PackLife } from './live-set.ts';
import { encodeHeader, encodeTail, HEADER_BYTES, type PackedChunk, type PackedFrame } from './pack-format.ts';
import type { PortableStore } from './portable-store.ts';
import { PACK_PREFIX, readPackIndex } from './reconcile.ts';
import { decompress, pack as packRaw } from './zstd.ts';

/** Copies are joined to packs of about this length. */
const PACK_BYTES = 16 * 1024 * 1024;

export interface PackCopierParts {
  readonly store: PortableStore;
  readonly index: ChunkIndex;
  readonly reader: ChunkReader;
}

interface Copied {
  readonly source: PackLife;
  readonly frame: MovedFrame;
  readonly stored: Uint8Array;
}

/**
 * Copies what lives in sparse packs into new ones, in order, each chunk in the form it has; frames that live wholly are
 * taken as they are. Every chunk is read and verified before its copy counts. Nothing is removed here.
 */
export class PackCopier {
  readonly #parts: PackCopierParts;
  readonly #live: LiveSet;
  #waiting: Copied[] = [];
  #offset = HEADER_BYTES;
  /** Bytes of new packs so far. */
  copiedBytes = 0;

  constructor(parts: PackCopierParts, live: LiveSet) {
    this.#parts = parts;
    this.#live = live;
  }

  /** REPOSITORY_DAMAGED when something alive in it cannot be read: then the pack is left as it is. */
  async copy(source: PackLife): Promise<void> {
    const { store } = this.#parts;
    const frames = await readPackIndex(store, source.name, source.bytes).catch((error: unknown) => {
      throw damaged(`${source.name} cannot be copied: its index is damaged.`, error);
    });
    const copies: Copied[] = [];
    for (const frame of frames) {
      const copied = await this.#copyFrame(source, frame);
      if (copied !== undefined) copies.push(copied);
    }
    for (const copied of copies) {
      this.#waiting.push({ ...copied, frame: { ...copied.frame, offset: this.#offset } });
      this.#offset += copied.stored.length;
    }
    if (this.#offset >= PACK_BYTES) await this.flush();
  }

  /** Makes the copies durable; from then on they are what is read. REPOSITORY_FULL. */
  async flush(): Promise<void> {
    const copies = this.#waiting;
    this.#waiting = [];
    this.#offset = HEADER_BYTES;
    if (copies.length === 0) return;
    const frames = copies.map(({ frame }) => frame);
    const pieces = [encodeHeader(), ...copies.map(({ stored }) => stored), encodeTail(frames)];
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const id = randomBytes(16).toString('hex');
    const name = `${PACK_PREFIX}${id.slice(0, 2)}/${id}.pack`;
    await this.#parts.store.write(name, pieces);
    this.copiedBytes += bytes;
    const moved = this.#parts.index.movePack(name, bytes, frames);
    for (const { source, frame } of copies) {
      for (const { digest } of frame.chunks) if (moved.has(digest)) this.#live.moved(source);
    }
  }

  async #copyFrame(source: PackLife, frame: PackedFrame): Promise<Copied | undefined> {
    const chunks = frame.chunks.filter((chunk) => this.#livesHere(source, frame, chunk));
    if (chunks.length === 0) return undefined;
    const { store, reader } = this.#parts;
    const stored = await store.read(source.name, { offset: frame.offset, length: frame.storedBytes });
    if (stored?.length !== frame.storedBytes) throw damaged(`${source.name} is cut off or gone.`);
    const raw = await decompress(stored, frame).catch((error: unknown) => {
      throw damaged(`A frame of ${source.name} does not decompress.`, error);
    });
    for (const chunk of chunks) {
      await reader.verify(chunk.digest, source.name, chunk, payloadOf(raw, chunk));
    }
    if (chunks.length === frame.chunks.length)
      return { source, stored, frame: { ...frame, from: source.id } };
    return repack(source, raw, chunks);
  }

  #livesHere({ name }: PackLife, frame: PackedFrame, { digest, at }: PackedChunk): boolean {
    if (!this.#live.has(digest)) return false;
    const place = this.#parts.index.find(digest);
    return place?.pack === name && place.frame.offset === frame.offset && place.at === at;
  }
}

/** A frame of what lives of another. */
async function repack(source: PackLife, raw: Uint8Array, chunks: readonly PackedChunk[]): Promise<Copied> {
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

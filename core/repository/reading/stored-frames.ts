import type { StoredFrame } from '../../contracts/repository.ts';
import type { Digest } from '../../domain/manifest.ts';
import type { ChunkIndex, IndexedChunk } from '../chunk-index/chunk-index.ts';
import { readPackList } from '../chunk-index/read-pack-index.ts';
import type { ListedFrame, PackedChunk } from '../packs/pack-format.ts';
import type { PortableStore } from '../store/portable-store.ts';
import { ByteCache } from './byte-cache.ts';

/**
 * Lists of packs that are kept, bytes: an image is read from the master's, the first overlay's and later ones in turns. Of packs full of
 * tiny files three fit, of others hundreds.
 */
const LIST_BYTES = 2 * 1024 * 1024;
/** What one takes beside the bytes of its list, and for each of its frames. */
const LIST_ITSELF = { pack: 4096, frame: 300 } as const;
/** Chunks of decoded frames that are kept: an image's come by turns from two or three, of some thousands where files are tiny. */
const DECODED_CHUNKS = 32_768;

type FrameItem = Pick<PackedChunk, 'digest' | 'bytes' | 'at' | 'payloadBytes' | 'delta'> & {
  readonly place: number;
};

/** Decodes a frame. REPOSITORY_DAMAGED, in the name of the chunk that is looked for. */
export type OpenFrame = (digest: Digest, pack: string, frame: IndexedChunk['frame']) => Promise<Uint8Array>;

/** Finds frames as they are stored, with everything that is in them. */
export class StoredFrames {
  readonly #store: PortableStore;
  readonly #index: ChunkIndex;
  readonly #open: OpenFrame;
  readonly #lists = new ByteCache<ReadonlyMap<number, ListedFrame>>(LIST_BYTES);
  readonly #decoded = new ByteCache<readonly FrameItem[]>(DECODED_CHUNKS);

  constructor(store: PortableStore, index: ChunkIndex, open: OpenFrame) {
    this.#store = store;
    this.#index = index;
    this.#open = open;
  }

  /**
   * The frame that holds this chunk as it is; undefined where it is made from others, or cannot be found. Nor are those in Brotli
   * given: they hold deltas, and agents decode none.
   */
  async of(digest: Digest): Promise<StoredFrame | undefined> {
    const stored = this.#index.find(digest);
    if (stored === undefined || stored.delta !== undefined) return undefined;
    const { pack, frame, bytes } = stored;
    const { encoding } = frame;
    if (encoding === 'brotli') return undefined;
    const isAlone = stored.payloadBytes === frame.rawBytes;
    const all = isAlone
      ? [{ digest, bytes, at: 0, payloadBytes: bytes, place: 0 }]
      : await this.#chunksOf(stored);
    if (all === undefined) return undefined;
    // A delta's bytes are no chunk, and who reads the frame has no use for them.
    const chunks = all.filter((chunk) => chunk.delta === undefined);
    return {
      id: `${pack}:${frame.offset}`,
      encoding,
      rawBytes: frame.rawBytes,
      storedBytes: frame.storedBytes,
      get lengths() {
        return all.map((chunk) => chunk.payloadBytes);
      },
      get digests() {
        return [...namedBy(all)];
      },
      chunks,
      read: () => this.#read(pack, frame),
      open: () => this.#open(digest, pack, frame).catch(() => undefined),
    };
  }

  async #chunksOf({ pack, frame }: IndexedChunk): Promise<readonly FrameItem[] | undefined> {
    const list = await this.#listOf(pack);
    const found = list?.get(frame.offset);
    const isSame = found?.storedBytes === frame.storedBytes && found.rawBytes === frame.rawBytes;
    if (!isSame) return undefined;
    return this.#decoded.get(`${pack}:${frame.offset}`, Math.min(found.count, DECODED_CHUNKS), async () =>
      found.chunks().map((chunk, place) => ({ ...chunk, place })),
    );
  }

  /** By the pack's own index, which lists all that is in a frame; undefined when it cannot be read. */
  async #listOf(pack: string): Promise<ReadonlyMap<number, ListedFrame> | undefined> {
    try {
      return await this.#lists.get(pack, LIST_ITSELF.pack, async () => {
        const stat = await this.#store.stat(pack);
        if (stat === undefined) throw new Error('it is gone');
        const { bytes, frames } = await readPackList(this.#store, pack, stat.bytes);
        // One that weighs more than all may, alone.
        const weight = LIST_ITSELF.pack + LIST_ITSELF.frame * frames.length + bytes;
        this.#lists.weigh(pack, Math.min(weight, LIST_BYTES));
        return new Map(frames.map((frame) => [frame.offset, frame]));
      });
    } catch {
      // Its chunks are read one by one then, which says what is wrong where something is.
      return undefined;
    }
  }

  async #read(pack: string, frame: IndexedChunk['frame']): Promise<Uint8Array | undefined> {
    const stored = await this.#store.read(pack, { offset: frame.offset, length: frame.storedBytes });
    return stored?.length === frame.storedBytes ? stored : undefined;
  }
}

/** A delta tells which parts of its chunk are in its bases as well: of those, too, whoever gets it comes to know something. */
function namedBy(items: readonly FrameItem[]): ReadonlySet<Digest> {
  return new Set(items.flatMap(({ digest, delta }) => [digest, ...(delta?.bases ?? [])]));
}

import { createHash, type Hash, hash } from 'node:crypto';
import { CHUNK_LIMITS, CutScanner } from './chunker.ts';
import type { ChunkRef, ContentRef, Digest } from './manifest.ts';

/** SHA-256 of nothing: the digest of every empty file. */
export const EMPTY_DIGEST: Digest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** Lower-case hex SHA-256 of bytes held in memory. */
export function digestOf(bytes: Uint8Array): Digest {
  return hash('sha256', bytes);
}

/** Is this text a digest as manifests hold it? */
export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && /^[0-9a-f]{64}$/.test(text);
}

/**
 * Names a content in one pass: whole digest, length, and chunk list as the repository would cut it.
 * Nothing is kept in memory but the list. Rejects with whatever `source` throws.
 */
export async function contentRefOf(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<ContentRef> {
  const hasher = new ContentHasher();
  for await (const piece of source) hasher.update(piece);
  return hasher.finish();
}

/**
 * The push form of {@link contentRefOf}, for callers that do something else with the bytes as well.
 *
 * A content that is edited in place, as databases do, keeps its cuts: told what it was `before`, and which pieces are for
 * the most part where they were, the hasher cuts those where that was cut. Cut by content, each edit that falls on a cut
 * moves it, and two chunks would be made of parts of three.
 */
export class ContentHasher {
  readonly #scanner = new CutScanner();
  readonly #earlier: EarlierCuts;
  readonly #chunks: ChunkRef[] = [];
  #whole: Hash | undefined;
  #chunk: Hash | undefined;
  #chunkBytes = 0;
  /** The last chunk that is whole, not yet named. */
  #ended: { readonly hash: Hash; readonly bytes: number } | undefined;
  #bytes = 0;

  constructor(before?: ContentRef) {
    this.#earlier = new EarlierCuts(before?.chunks ?? []);
  }

  /** `inPlace`: most of the piece lies where it lay before. */
  update(piece: Uint8Array, inPlace = false): void {
    let from = 0;
    while (from < piece.length) {
      this.#chunk ??= this.#beginChunk();
      const cut = (inPlace ? this.#earlierCut(piece, from) : undefined) ?? this.#scanner.scan(piece, from);
      const part = piece.subarray(from, cut === -1 ? piece.length : cut);
      this.#chunk.update(part);
      this.#whole?.update(part);
      this.#chunkBytes += part.length;
      this.#bytes += part.length;
      from += part.length;
      if (cut !== -1) this.#endChunk(this.#chunk);
    }
  }

  /** Ends the content. Call once. */
  finish(): ContentRef {
    if (this.#chunk !== undefined) this.#endChunk(this.#chunk);
    this.#nameEnded();
    const only = this.#chunks.length === 1 ? this.#chunks[0] : undefined;
    const digest = only?.digest ?? this.#whole?.digest('hex') ?? EMPTY_DIGEST;
    return { digest, bytes: this.#bytes, chunks: this.#chunks };
  }

  /** Like {@link CutScanner.scan}, by where the content was cut before; undefined when it was not, as far as a chunk may reach. */
  #earlierCut(piece: Uint8Array, from: number): number | undefined {
    const began = this.#bytes - this.#chunkBytes;
    const end = this.#earlier.after(this.#bytes, began + CHUNK_LIMITS.min);
    if (end === undefined || end > began + CHUNK_LIMITS.max) return undefined;
    const to = from + end - this.#bytes;
    return this.#scanner.pass(piece, from, Math.min(to, piece.length), to <= piece.length);
  }

  /** More comes: the first chunk's hash goes on as the whole's. Most files are one chunk, and are hashed once. */
  #beginChunk(): Hash {
    this.#whole ??= this.#ended?.hash.copy();
    this.#nameEnded();
    return createHash('sha256');
  }

  #endChunk(hash: Hash): void {
    this.#ended = { hash, bytes: this.#chunkBytes };
    this.#chunk = undefined;
    this.#chunkBytes = 0;
  }

  #nameEnded(): void {
    if (this.#ended === undefined) return;
    this.#chunks.push({ digest: this.#ended.hash.digest('hex'), bytes: this.#ended.bytes });
    this.#ended = undefined;
  }
}

/** Where a content was cut before, asked in ascending order. Its old end is no cut: what grew went on there. */
class EarlierCuts {
  readonly #chunks: readonly ChunkRef[];
  #at = 0;
  #end: number;

  constructor(chunks: readonly ChunkRef[]) {
    this.#chunks = chunks;
    this.#end = chunks[0]?.bytes ?? 0;
  }

  /** The first cut behind `bytes` that is at `least` or later. */
  after(bytes: number, least: number): number | undefined {
    while (this.#at < this.#chunks.length - 1 && (this.#end <= bytes || this.#end < least)) {
      this.#at += 1;
      this.#end += this.#chunks[this.#at]?.bytes ?? 0;
    }
    return this.#at < this.#chunks.length - 1 ? this.#end : undefined;
  }
}

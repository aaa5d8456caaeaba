/** Several contents behind one another as one base for deltas, read chunk by chunk through a small cache. */

import type { RandomReader } from '../contracts/delta-codec.ts';
import type { ContentRef } from '../domain/manifest.ts';

/** Chunks kept at hand, bytes: deltas of logs copy pages from all over a table. */
const CACHE_BYTES = 48 * 1024 * 1024;

interface Piece {
  readonly offset: number;
  readonly bytes: number;
  readonly digest: string;
}

/** Reads one chunk whole. */
export type ReadPiece = (chunk: { readonly digest: string; readonly bytes: number }) => Promise<Uint8Array>;

export class VirtualBase implements RandomReader {
  readonly #read: ReadPiece;
  readonly #pieces: Piece[] = [];
  readonly #cache = new Map<string, Uint8Array>();
  #cached = 0;
  #bytes = 0;

  constructor(read: ReadPiece) {
    this.#read = read;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Adds chunks at the end. */
  append(chunks: ContentRef['chunks']): void {
    for (const chunk of chunks) {
      this.#pieces.push({ offset: this.#bytes, bytes: chunk.bytes, digest: chunk.digest });
      this.#bytes += chunk.bytes;
    }
  }

  /** Reads past the end return fewer bytes. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const end = Math.min(offset + length, this.#bytes);
    const parts: Uint8Array[] = [];
    for (let at = this.#indexOf(offset), position = offset; position < end; at++) {
      const piece = this.#pieces[at] as Piece;
      const bytes = await this.#load(piece);
      const from = position - piece.offset;
      const part = bytes.subarray(from, Math.min(piece.bytes, end - piece.offset));
      parts.push(part);
      position += part.length;
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }

  /** The last piece that begins at or before `offset`. */
  #indexOf(offset: number): number {
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#pieces[middle] as Piece).offset <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async #load(piece: Piece): Promise<Uint8Array> {
    const cached = this.#cache.get(piece.digest);
    if (cached !== undefined) {
      this.#cache.delete(piece.digest);
      this.#cache.set(piece.digest, cached);
      return cached;
    }
    const bytes = await this.#read(piece);
    this.#cache.set(piece.digest, bytes);
    this.#cached += bytes.length;
    for (const [digest, old] of this.#cache) {
      if (this.#cached <= CACHE_BYTES || digest === piece.digest) break;
      this.#cache.delete(digest);
      this.#cached -= old.length;
    }
    return bytes;
  }
}

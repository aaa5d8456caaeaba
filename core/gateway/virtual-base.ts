/**
 * Several contents behind one another as one base for deltas. Deltas of logs copy small pieces from all over a
 * table, and a chunk is read only as a whole: so each chunk is read and verified once, when it is first touched,
 * and put into an unnamed file that the small reads then go to. Memory stays flat, a crash leaves nothing behind.
 */

import type { RandomReader } from '../contracts/delta-codec.ts';
import type { ContentRef } from '../domain/manifest.ts';
import { PassedBytes } from '../domain/release.ts';
import { OverdubError } from '../errors.ts';
import { UnnamedFile } from '../unnamed-file.ts';

interface Piece {
  readonly offset: number;
  readonly bytes: number;
  readonly digest: string;
  /** Set once its bytes are on their way into the file, `there` once they are in it. */
  loaded: Promise<void> | undefined;
  there: boolean;
  touched: boolean;
}

/** Reads one chunk whole, verified. */
export type ReadPiece = (chunk: { readonly digest: string; readonly bytes: number }) => Promise<Uint8Array>;

export class VirtualBase implements RandomReader {
  readonly #read: ReadPiece;
  readonly #dir: string;
  readonly #pieces: Piece[] = [];
  readonly #passed = new PassedBytes();
  readonly #file: UnnamedFile;
  #touched: Piece[] = [];
  #bytes = 0;

  /** `dir`: where the file goes; as much room as the touched chunks need. */
  constructor(read: ReadPiece, dir: string) {
    this.#read = read;
    this.#dir = dir;
    this.#file = new UnnamedFile(dir);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Adds chunks at the end. */
  append(chunks: ContentRef['chunks']): void {
    for (const { bytes, digest } of chunks) {
      this.#pieces.push({
        offset: this.#bytes,
        bytes,
        digest,
        loaded: undefined,
        there: false,
        touched: false,
      });
      this.#bytes += bytes;
    }
  }

  /** Adds a chunk whose bytes are at hand, so that it need not be read back. */
  async appendBytes(digest: string, bytes: Uint8Array): Promise<void> {
    const offset = this.#bytes;
    const piece = { offset, bytes: bytes.length, digest, loaded: undefined, there: true, touched: false };
    await this.#put(bytes, piece.offset);
    this.#pieces.push(piece);
    this.#bytes += bytes.length;
  }

  /** Reads past the end return fewer bytes. */
  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const end = Math.min(offset + length, this.#bytes);
    if (end <= offset) return new Uint8Array(0);
    for (let at = this.#indexOf(offset); at < this.#pieces.length; at++) {
      const piece = this.#pieces[at] as Piece;
      if (piece.offset >= end) break;
      this.#touch(piece);
      if (piece.there) continue;
      piece.loaded ??= this.#load(piece);
      await piece.loaded;
      piece.there = true;
    }
    return this.#file.read(into?.subarray(0, end - offset) ?? Buffer.allocUnsafe(end - offset), offset);
  }

  /** What was read from since the last call, ascending. */
  takeTouched(): { readonly digest: string; readonly at: number; readonly bytes: number }[] {
    const taken = this.#touched.splice(0).sort((a, b) => a.offset - b.offset);
    for (const piece of taken) piece.touched = false;
    return taken.map(({ digest, offset, bytes }) => ({ digest, at: offset, bytes }));
  }

  #touch(piece: Piece): void {
    if (piece.touched) return;
    piece.touched = true;
    this.#touched.push(piece);
  }

  close(): Promise<void> {
    return this.#file.close();
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

  async #load(piece: Piece): Promise<void> {
    const bytes = await this.#read(piece);
    // What is longer than its image says would lie over its neighbour.
    if (bytes.length !== piece.bytes) throw wrongLength(piece, bytes.length);
    await this.#put(bytes, piece.offset);
    this.#passed.add(piece.bytes);
  }

  async #put(bytes: Uint8Array, offset: number): Promise<void> {
    try {
      await this.#file.put(bytes, offset);
    } catch (error) {
      throw (error as NodeJS.ErrnoException).code === 'ENOSPC' ? noRoom(this.#dir, error) : error;
    }
  }
}

function wrongLength({ digest, bytes }: Piece, length: number): OverdubError {
  return new OverdubError(
    'DELTA_INVALID',
    `A delta lies on an image that lists the chunk ${digest} with ${bytes} bytes; it has ${length}.`,
    'Send the file whole; look at the agent that made the image.',
  );
}

function noRoom(dir: string, cause: unknown): OverdubError {
  return new OverdubError(
    'REPOSITORY_FULL',
    `The appliance has no room left to put a snapshot together in (${dir}); nothing was committed.`,
    'Make room on the disk of the state directory, or move it to a larger disk, then repeat the operation. ' +
      'What was committed before is untouched.',
    { cause },
  );
}

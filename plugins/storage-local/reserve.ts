import { randomFillSync } from 'node:crypto';
import { open, rm, stat, truncate } from 'node:fs/promises';
import { isFull } from './put.ts';

const PIECE_BYTES = 1024 * 1024;

/**
 * A file that does nothing but take space. When the disk is full it is given up, so that records can still be
 * written and old snapshots removed; when there is room again it grows back.
 */
export class Reserve {
  readonly #path: string;
  readonly #bytes: number;
  #refilling = false;

  constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
  }

  /** Gives the space up. False when there was none left to give. */
  async release(): Promise<boolean> {
    const held = await this.#held();
    await rm(this.#path, { force: true });
    return held > 0;
  }

  /** Grows the reserve as far as the disk allows; a full disk is no error here. Not run twice at a time. */
  async refill(): Promise<void> {
    if (this.#refilling) return;
    this.#refilling = true;
    try {
      const held = await this.#held();
      if (held > this.#bytes) await truncate(this.#path, this.#bytes);
      else if (held < this.#bytes) await this.#grow(held);
    } finally {
      this.#refilling = false;
    }
  }

  async #grow(held: number): Promise<void> {
    // Random bytes: a file system that compresses would give zeros no room.
    const piece = randomFillSync(Buffer.allocUnsafe(Math.min(PIECE_BYTES, this.#bytes)));
    const file = await open(this.#path, 'a', 0o600);
    try {
      for (let done = held; done < this.#bytes; ) {
        const { bytesWritten } = await file.write(piece, 0, Math.min(piece.length, this.#bytes - done));
        done += bytesWritten;
      }
    } catch (error) {
      if (!isFull(error)) throw error;
    } finally {
      await file.close();
    }
  }

  async #held(): Promise<number> {
    try {
      return (await stat(this.#path)).size;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
      throw error;
    }
  }
}

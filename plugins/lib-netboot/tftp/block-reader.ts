/** Cuts a byte stream into ready-made data packets, a bounded number of them ahead of the network. */

import { runLength } from '../udp/runs.ts';
import { writeDataHeader } from './codec.ts';

/** Four bytes of header, then the block. The last one is shorter than a full block, possibly empty. */
export interface DataPacket {
  readonly packet: Buffer;
  readonly last: boolean;
}

/** A file being served. `read` may yield pieces of any size. */
export interface TftpFile {
  /** Total size; a stream that ends elsewhere fails the transfer. */
  readonly bytes: number;
  read(): AsyncIterable<Uint8Array>;
}

/**
 * Pulls from the file until `ahead` packets wait, and goes on as they are taken. `onReady` is called whenever a
 * packet became available after {@link take} returned none; `onFailure` once, if the file cannot be read.
 */
export class BlockReader {
  readonly #blockBytes: number;
  readonly #ahead: number;
  readonly #run: number;
  readonly #queue: DataPacket[] = [];
  readonly #onReady: () => void;
  #room = Buffer.alloc(0);
  #starved = false;
  #closed = false;
  #resume: (() => void) | undefined;

  constructor(
    file: TftpFile,
    options: { blockBytes: number; ahead: number; onReady: () => void; onFailure: (error: unknown) => void },
  ) {
    this.#blockBytes = options.blockBytes;
    this.#ahead = options.ahead;
    this.#run = Math.min(options.ahead, runLength(4 + options.blockBytes));
    this.#onReady = options.onReady;
    this.#pump(file).catch((error: unknown) => {
      if (!this.#closed) options.onFailure(error);
    });
  }

  /** The next packet in order, or none yet. */
  take(): DataPacket | undefined {
    const next = this.#queue.shift();
    this.#starved = next === undefined;
    if (this.#queue.length < this.#ahead) this.#wake();
    return next;
  }

  /** Stops reading; the file's iterator is returned. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  #wake(): void {
    this.#resume?.();
    this.#resume = undefined;
  }

  async #pump(file: TftpFile): Promise<void> {
    let sent = 0;
    let block = 1;
    let packet = this.#emptyPacket();
    let filled = 0;
    for await (const piece of file.read()) {
      if (this.#closed) return;
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + this.#blockBytes - filled);
        packet.set(part, 4 + filled);
        filled += part.length;
        at += part.length;
        sent += part.length;
        if (filled < this.#blockBytes) continue;
        await this.#push({ packet, last: false }, block++);
        if (this.#closed) return;
        packet = this.#emptyPacket();
        filled = 0;
      }
    }
    if (sent !== file.bytes) throw new Error(`the file ended after ${sent} of ${file.bytes} bytes`);
    await this.#push({ packet: packet.subarray(0, 4 + filled), last: true }, block);
  }

  /** Packets that follow one another lie so in memory, as far as one system call may send them. */
  #emptyPacket(): Buffer {
    const bytes = 4 + this.#blockBytes;
    if (this.#room.length < bytes) this.#room = Buffer.allocUnsafe(this.#run * bytes);
    const packet = this.#room.subarray(0, bytes);
    this.#room = this.#room.subarray(bytes);
    return packet;
  }

  async #push(entry: DataPacket, block: number): Promise<void> {
    writeDataHeader(entry.packet, block);
    this.#queue.push(entry);
    if (this.#starved) {
      this.#starved = false;
      this.#onReady();
    }
    while (!this.#closed && !entry.last && this.#queue.length >= this.#ahead) {
      await new Promise<void>((resolve) => {
        this.#resume = resolve;
      });
    }
  }
}

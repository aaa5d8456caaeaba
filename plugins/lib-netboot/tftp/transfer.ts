/** One file on its way to one client: windows, acknowledgements, retransmission. */

import { BlockReader, type DataPacket, type TftpFile } from './block-reader.ts';
import { encodeError, encodeOptionAck, TFTP_ERROR, type TftpRequest } from './codec.ts';
import type { TransferTerms } from './negotiate.ts';

/**
 * `done`: the last block was acknowledged. `aborted`: the client said it has enough (EDK2 asks for the size,
 * then aborts and comes back). `failed`: gone silent, refused, or the file could not be read.
 */
export interface TransferOutcome {
  readonly result: 'done' | 'aborted' | 'failed';
  readonly bytes: number;
  readonly reason?: string;
}

export interface TransferOptions {
  readonly file: TftpFile;
  readonly terms: TransferTerms;
  /** How often a silent client is tried again, each wait twice the last, before it is given up. */
  readonly attempts: number;
  readonly send: (packets: readonly Uint8Array[]) => void;
  /** Called exactly once. */
  readonly onEnd: (outcome: TransferOutcome) => void;
}

const LONGEST_WAIT_MS = 8000;
/** However long a `timeout` the client asked for: silence beyond this ends the transfer once it was tried again. */
const LONGEST_SILENCE_MS = 120_000;

/**
 * The sender's half of RFC 1350 with RFC 7440 windows. Block numbers are counted without bound inside and
 * wrap to 0 on the wire. A duplicate acknowledgement never doubles the traffic (RFC 1123 §4.2.3.1).
 */
export class Transfer {
  readonly #terms: TransferTerms;
  readonly #attempts: number;
  readonly #send: (packets: readonly Uint8Array[]) => void;
  readonly #onEnd: (outcome: TransferOutcome) => void;
  readonly #reader: BlockReader;
  /** Sent or taken from the reader, not acknowledged; the first is block `#acked + 1`. */
  readonly #unacked: DataPacket[] = [];
  readonly #optionAck: Buffer | undefined;
  #awaitingOptionAck: boolean;
  #acked = 0;
  #sent = 0;
  #bytes = 0;
  #tries = 0;
  #heardAt = performance.now();
  /** A window was sent again because of a duplicate acknowledgement, and nothing came of it yet. */
  #resent = false;
  #ended = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: TransferOptions) {
    this.#terms = options.terms;
    this.#attempts = options.attempts;
    this.#send = options.send;
    this.#onEnd = options.onEnd;
    this.#optionAck = options.terms.granted.size === 0 ? undefined : encodeOptionAck(options.terms.granted);
    this.#awaitingOptionAck = this.#optionAck !== undefined;
    this.#reader = new BlockReader(options.file, {
      blockBytes: options.terms.blockBytes,
      ahead: options.terms.window * 2,
      onReady: () => this.#fill(),
      onFailure: (error) => this.fail(`cannot be read: ${error instanceof Error ? error.message : error}`),
    });
  }

  /** Has the client acknowledged anything yet? */
  get progressed(): boolean {
    return !this.#awaitingOptionAck && (this.#acked > 0 || this.#optionAck !== undefined);
  }

  start(): void {
    if (this.#optionAck !== undefined) this.#send([this.#optionAck]);
    else this.#fill();
    this.#arm();
  }

  /** Feeds one packet of this transfer's client. */
  receive(packet: TftpRequest): void {
    if (this.#ended) return;
    if (packet.kind === 'ack') this.#acknowledge(packet.block);
    else if (packet.kind === 'error') this.#clientError(packet.code, packet.message);
    else if (packet.kind !== 'invalid') {
      this.#send([encodeError(TFTP_ERROR.illegalOperation, 'a transfer takes only ACK and ERROR')]);
    }
  }

  /** Tells the client and ends. */
  fail(reason: string): void {
    if (this.#ended) return;
    this.#send([encodeError(TFTP_ERROR.undefined, reason)]);
    this.#end({ result: 'failed', bytes: this.#bytes, reason });
  }

  /** Ends without a word: the client is gone, or starts anew. */
  abandon(reason: string): void {
    if (this.#ended) return;
    // The client closed its port right after the last block: its final acknowledgement was lost, no more.
    const complete =
      this.#unacked.length === 1 && this.#unacked[0]?.last === true && this.#sent > this.#acked;
    this.#end(
      complete ? { result: 'done', bytes: this.#bytes } : { result: 'failed', bytes: this.#bytes, reason },
    );
  }

  #clientError(code: number, message: string): void {
    const enough = code === TFTP_ERROR.optionRefused || this.#awaitingOptionAck || this.#acked === 0;
    const reason = `client error ${code}${message === '' ? '' : `: ${message}`}`;
    this.#end({ result: enough ? 'aborted' : 'failed', bytes: this.#bytes, reason });
  }

  #acknowledge(block: number): void {
    if (this.#awaitingOptionAck) {
      if (block !== 0) return;
      this.#awaitingOptionAck = false;
      this.#progress();
      this.#fill();
      return;
    }
    const advance = (block - this.#acked) & 0xffff;
    if (advance === 0) this.#duplicate();
    if (advance === 0 || advance > this.#sent - this.#acked) return;
    for (const entry of this.#unacked.splice(0, advance)) {
      this.#bytes += entry.packet.length - 4;
      if (entry.last) {
        this.#end({ result: 'done', bytes: this.#bytes });
        return;
      }
    }
    this.#acked += advance;
    // Acknowledged in the middle of a window: what followed was lost (RFC 7440 §4).
    this.#sent = this.#acked;
    this.#progress();
    this.#fill();
  }

  #duplicate(): void {
    if (this.#terms.window === 1 || this.#resent || this.#sent === this.#acked) return;
    this.#resent = true;
    this.#sent = this.#acked;
    this.#fill();
  }

  #progress(): void {
    this.#tries = 0;
    this.#heardAt = performance.now();
    this.#resent = false;
    this.#arm();
  }

  #fill(): void {
    if (this.#ended || this.#awaitingOptionAck) return;
    const packets: Buffer[] = [];
    while (this.#sent < this.#acked + this.#terms.window) {
      const index = this.#sent - this.#acked;
      if (this.#unacked[index - 1]?.last) break;
      const entry = this.#unacked[index] ?? this.#reader.take();
      if (entry === undefined) break;
      if (index === this.#unacked.length) this.#unacked.push(entry);
      packets.push(entry.packet);
      this.#sent += 1;
    }
    if (packets.length > 0) this.#send(packets);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const wait = Math.min(
      this.#terms.retryMs * 2 ** this.#tries,
      Math.max(LONGEST_WAIT_MS, this.#terms.retryMs),
    );
    this.#timer = setTimeout(() => this.#expired(), wait);
  }

  #expired(): void {
    // Nothing in flight: the file is slow, not the client.
    if (!this.#awaitingOptionAck && this.#unacked.length === 0) {
      this.#arm();
      return;
    }
    this.#tries += 1;
    const silent = performance.now() - this.#heardAt;
    if (this.#tries > this.#attempts || (this.#tries > 1 && silent > LONGEST_SILENCE_MS)) {
      this.abandon('the client went silent');
      return;
    }
    if (this.#awaitingOptionAck) this.#send([this.#optionAck as Buffer]);
    else {
      this.#sent = this.#acked;
      this.#fill();
    }
    this.#arm();
  }

  #end(outcome: TransferOutcome): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#reader.close();
    this.#onEnd(outcome);
  }
}

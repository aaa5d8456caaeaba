/** A fetch that goes on asking while it is answered: neither side waits for the other between one request and the next. */

import {
  type ChunkRef,
  DIGESTS_LIMIT,
  encodeFrame,
  FRAME,
  packDigests,
  type ReadHead,
  STORED_END,
  STORED_HEADER,
  storedPiece,
} from '@overdub/core/agent';
import type { Appliance } from '../link/appliance.ts';
import type { Receiver } from '../receiver/receiver.ts';
import { SentAlong } from '../receiver/sent-along.ts';
import { AnswerReader } from './answers.ts';
import type { GivenChunks } from './given-chunks.ts';

/**
 * Somebody in between may pass requests on only when they are whole, or keep the end of what came back: when an answer was waited for so
 * long, the request ends, milliseconds. Where that was not why (a very slow line, an appliance that starts again), whole requests do as well.
 */
const PATIENCE_MS = 30_000;
/** What is wanted is asked for when it is so much, or waited for: few at a time, frames would be taken apart for them. */
const SEND_CHUNKS = 4096;
const SEND_BYTES = 16 * 1024 * 1024;

/** Who may be asked for more. */
export interface Asking {
  /** Puts these behind those before, unless it takes no more: then all that it took is to be taken from it first. */
  want(chunks: readonly ChunkRef[]): boolean;
  /** No more is wanted for now: it is asked for, once it is enough. */
  send(): void;
}

export interface AskingOptions {
  readonly appliance: Appliance;
  readonly receiver: Receiver;
  readonly signal: AbortSignal;
  readonly head: ReadHead;
  readonly given: GivenChunks;
  /** As the head says. */
  readonly window: number;
  /** Told when the request was ended so that it would be passed on at all. */
  readonly onKeptBack: () => void;
}

export class AskingAlong implements Asking {
  readonly answers: AnswerReader;
  readonly #body = new SentAlong();
  readonly #asked: ChunkRef[] = [];
  readonly #stop = new AbortController();
  #sent = 0;
  #unsentBytes = 0;
  #hasEnded = false;

  constructor({ appliance, receiver, signal, head, given, window, onKeptBack }: AskingOptions) {
    this.#body.add(STORED_HEADER);
    this.#body.add(storedPiece(encodeFrame(FRAME.head, JSON.stringify(head))));
    const onWait = () => {
      this.#sendAll();
      const patience = setTimeout(() => {
        onKeptBack();
        this.#end();
      }, PATIENCE_MS).unref();
      return () => clearTimeout(patience);
    };
    const both = AbortSignal.any([signal, this.#stop.signal]);
    const opened = appliance.fetchAlong(this.#body, receiver, both);
    const asked = { asked: this.#asked, most: DIGESTS_LIMIT };
    this.answers = new AnswerReader({ opened, ...asked, given, window, onWait });
  }

  want(chunks: readonly ChunkRef[]): boolean {
    if (this.#hasEnded || this.#asked.length + chunks.length > DIGESTS_LIMIT) return false;
    for (const chunk of chunks) {
      this.#asked.push(chunk);
      this.#unsentBytes += chunk.bytes;
    }
    return true;
  }

  send(): void {
    const isEnough = this.#asked.length - this.#sent >= SEND_CHUNKS || this.#unsentBytes >= SEND_BYTES;
    if (this.#sent === 0 || isEnough) this.#sendAll();
  }

  #sendAll(): void {
    if (this.#hasEnded || this.#sent === this.#asked.length) return;
    const digests = this.#asked.slice(this.#sent).map(({ digest }) => digest);
    const waited = encodeFrame(FRAME.waited, JSON.stringify(this.answers.takeWaited()));
    const frames = [...(this.#sent === 0 ? [] : waited), ...encodeFrame(FRAME.digests, packDigests(digests))];
    this.#sent = this.#asked.length;
    this.#unsentBytes = 0;
    this.#body.add(storedPiece(frames));
  }

  /** Where something was not answered, the line is given up; else it comes to its end, if that does not take long. */
  async close(): Promise<void> {
    const isWhole = this.answers.isWhole;
    this.#end();
    if (!isWhole) this.#stop.abort(new Error('nobody waits for it'));
    const patience = setTimeout(() => this.#stop.abort(new Error('it does not end')), PATIENCE_MS);
    try {
      await this.answers.close();
    } finally {
      clearTimeout(patience);
    }
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#sendAll();
    this.#hasEnded = true;
    this.#body.add(storedPiece(encodeFrame(FRAME.end)));
    this.#body.add(STORED_END);
    this.#body.end();
  }
}

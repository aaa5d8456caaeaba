/** The relay as its clients see it: a message goes out, answers of the same transaction come back. */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type DhcpPacket, decodeDhcp } from '@overdub/lib-netboot';

export interface RelayOrder {
  /** Its own address on the clients' network: giaddr. */
  readonly address: string;
  /** Where it forwards to. */
  readonly server: string;
}

export interface RelayedAnswer {
  readonly packet: DhcpPacket;
  /** From the last message of the transaction that was forwarded, to this answer, at the relay. */
  readonly milliseconds: number;
}

export class Relay {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (answer: RelayedAnswer) => void>();

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', ({ xid, bytes, milliseconds }) => {
      const hear = this.#waiting.get(xid);
      const { packet } = hear === undefined ? { packet: undefined } : decodeDhcp(bytes);
      if (packet !== undefined) hear?.({ packet, milliseconds });
    });
    worker.on('error', (error) => {
      throw error;
    });
  }

  static async open(order: RelayOrder): Promise<Relay> {
    const worker = new Worker(new URL('./relay-worker.ts', import.meta.url), { workerData: order });
    await once(worker, 'message');
    return new Relay(worker);
  }

  /** Hears the answers of one transaction until the returned function is called. */
  listen(xid: number, hear: (answer: RelayedAnswer) => void): () => void {
    this.#waiting.set(xid, hear);
    return () => this.#waiting.delete(xid);
  }

  send(message: Uint8Array): void {
    this.#worker.postMessage(message);
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

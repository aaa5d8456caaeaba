/** A thread that receives answers, decodes and hashes them, while this one writes files. */

import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { Condition, OverdubError, threadProgram } from '@overdub/core/agent';
import { ConnectionLost } from '../link/connection-lost.ts';
import type { LeanRequest } from './lean-post.ts';
import { type Answered, type Order, type Report, type Sending, STOP, type Taken } from './messages.ts';
import type { OpenedAnswer } from './opened-answers.ts';
import type { SentAlong } from './sent-along.ts';

/** Of a thread that ends by itself; one that does not is stopped then, milliseconds. */
const ENDING_MS = 10_000;

/** What a request came to. */
export type Outcome =
  | { readonly is: 'begun'; readonly answers: AsyncGenerator<OpenedAnswer> }
  | { readonly is: 'refused'; readonly status: number; readonly body: Uint8Array };

/** Told of bytes of bodies, as they go and come. */
export interface Counts {
  readonly sent: (bytes: number) => void;
  readonly received: (bytes: number) => void;
}

/** A request, of which the body may still be added to. */
export type Asked = Omit<LeanRequest, 'body'> & { readonly body: Uint8Array | SentAlong };

export class Receiver {
  readonly #worker: Worker;
  /** Of requests under way. */
  readonly #open = new Set<Reports>();
  /** Why the thread has ended. */
  #ended: OverdubError | undefined;

  /** Undefined where another thread is no help: it takes memory, and a processor. */
  static start(url: string): Receiver | undefined {
    const isPlain = new URL(url).protocol === 'http:';
    return isPlain && availableParallelism() > 1 ? new Receiver() : undefined;
  }

  private constructor() {
    const { file, ...options } = threadProgram(import.meta.url, 'receiver', 'receiver.mjs');
    this.#worker = new Worker(file, { name: 'receiver', ...options });
    this.#worker.once('error', (error) => {
      this.#ended = ended(error);
    });
    this.#worker.once('exit', () => {
      this.#ended ??= ended('it was stopped');
      for (const reports of this.#open) reports.close(this.#ended);
    });
    // Each request waits for its own port; with none under way nothing is waited for.
    this.#worker.unref();
  }

  /**
   * Sends it on a connection of its own. Rejects, and so do the answers, with ConnectionLost, an OverdubError that the appliance told of, or
   * the signal's reason. `counts` are told of what goes and comes of bodies. Whoever does not read the answers to their end calls their `return`.
   */
  async ask({ body, ...request }: Asked, signal: AbortSignal, counts: Counts): Promise<Outcome> {
    signal.throwIfAborted();
    if (this.#ended !== undefined) throw this.#ended;
    const { port1, port2 } = new MessageChannel();
    const reports = new Reports(port1, request.url, signal, () => this.#open.delete(reports));
    this.#open.add(reports);
    const isWhole = body instanceof Uint8Array;
    const order: Order = { request: isWhole ? { ...request, body } : request, port: port2 };
    this.#worker.postMessage(order, [port2]);
    if (isWhole) counts.sent(body.length);
    else body.follow((piece) => sendAlong(reports, piece, counts));
    try {
      const first = await reports.next();
      if (first.is === 'begun') return { is: 'begun', answers: await begun(answersOf(reports, counts)) };
      reports.close();
      if (first.is === 'refused') return first;
      throw new Error(`the receiver begins with ${first.is}`);
    } catch (error) {
      reports.close();
      throw error;
    }
  }

  /** Requests under way are given up. The thread ends by itself: stopped in the midst of what it does, it can take the program with it. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    for (const reports of this.#open) reports.close(ended('it was stopped'));
    const exited = once(this.#worker, 'exit');
    this.#worker.ref();
    this.#worker.postMessage(STOP);
    const patience = setTimeout(() => void this.#worker.terminate(), ENDING_MS);
    try {
      await exited;
    } catch {
      // Who asked something of it has heard of its error, and it has ended.
    } finally {
      clearTimeout(patience);
    }
  }
}

/** One that has not begun would not end what it reads when it is told to end. */
async function begun(
  answers: AsyncGenerator<OpenedAnswer | undefined>,
): Promise<AsyncGenerator<OpenedAnswer>> {
  await answers.next();
  return answers as AsyncGenerator<OpenedAnswer>;
}

function sendAlong(reports: Reports, piece: Uint8Array | undefined, counts: Counts): void {
  counts.sent(piece?.length ?? 0);
  reports.send(piece === undefined ? { sent: true } : { send: piece });
}

async function* answersOf(reports: Reports, { received }: Counts): AsyncGenerator<OpenedAnswer | undefined> {
  try {
    yield undefined;
    for (;;) {
      const report = await reports.next();
      if (report.is !== 'answer' && report.is !== 'ended') throw new Error(`an answer was ${report.is}`);
      received(report.received);
      if (report.is === 'ended') return;
      reports.took(report);
      yield report.answer;
    }
  } finally {
    reports.close();
  }
}

/** What a thread tells of one request, in order. */
class Reports {
  readonly #port: MessagePort;
  readonly #url: string;
  readonly #signal: AbortSignal;
  readonly #onClose: () => void;
  readonly #waiting: Report[] = [];
  readonly #onAbort = () => this.close();
  #closed: Error | undefined;
  readonly #more = new Condition();

  constructor(port: MessagePort, url: string, signal: AbortSignal, onClose: () => void) {
    this.#port = port;
    this.#url = url;
    this.#signal = signal;
    this.#onClose = onClose;
    port.on('message', (report: Report) => {
      this.#waiting.push(report);
      this.#more.notify();
    });
    port.once('messageerror', (error) => this.close(ended(error)));
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  async next(): Promise<Exclude<Report, { is: 'failed' | 'lost' }>> {
    await this.#more.until(() => this.#waiting.length > 0 || this.#closed !== undefined);
    this.#signal.throwIfAborted();
    const report = this.#waiting.shift();
    if (report === undefined) throw this.#closed;
    if (report.is === 'failed') throw OverdubError.fromJSON(report.error as never);
    if (report.is === 'lost') throw new ConnectionLost(this.#url, report.why);
    return report;
  }

  took({ taken }: Answered): void {
    this.#port.postMessage({ taken } satisfies Taken);
  }

  send(sending: Sending): void {
    this.#port.postMessage(sending);
  }

  /** What waits is given up; `why` is told to who waits for more. */
  close(why: Error = new ConnectionLost(this.#url, 'it was closed')): void {
    this.#closed ??= why;
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#port.close();
    this.#onClose();
    this.#more.notify();
  }
}

function ended(why: unknown): OverdubError {
  return new OverdubError(
    'INTERNAL',
    `The agent's thread that receives contents has ended: ${why instanceof Error ? why.message : why}`,
    'Repeat it; if it happens again, report it with the kernel log of this machine.',
    { cause: why },
  );
}

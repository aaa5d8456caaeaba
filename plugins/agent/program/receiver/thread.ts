/** What runs on the receiver's thread: sends a request, receives, decodes and hashes what comes, ahead of who takes it. */

import { type MessagePort, parentPort } from 'node:worker_threads';
import { readBody, toOverdubError } from '@overdub/core/agent';
import { type LeanAnswer, LineBroken, leanPost } from './lean-post.ts';
import type { Order, Report, Taken } from './messages.ts';
import { type OpenedAnswer, openedAnswers } from './opened-answers.ts';

/** Of answers that nobody has taken yet, so many bytes: at least one answer, however long. */
const AHEAD_BYTES = 48 * 1024 * 1024;
/** Of a refusal, as much as is looked at. */
const MAX_REFUSAL_BYTES = 64 * 1024 * 1024;

parentPort?.on('message', (order: Order) => void serve(order));

async function serve({ request, port }: Order): Promise<void> {
  const stop = new AbortController();
  const room = new Room(AHEAD_BYTES);
  const tell = (report: Report) => port.postMessage(report);
  port.on('message', ({ taken }: Taken) => room.free(taken));
  port.once('close', () => {
    stop.abort();
    room.free(Number.POSITIVE_INFINITY);
  });
  try {
    const lean = await leanPost(request, stop.signal);
    if (lean.status >= 300) return tell({ is: 'refused', status: lean.status, body: await whole(lean.body) });
    tell({ is: 'begun' });
    await answer(port, lean, room);
  } catch (error) {
    if (error instanceof LineBroken) tell({ is: 'lost', why: error.message });
    else tell({ is: 'failed', error: toOverdubError(error).toJSON() });
  } finally {
    stop.abort();
  }
}

async function answer(port: MessagePort, { body, come }: LeanAnswer, room: Room): Promise<void> {
  let [told, taken] = [0, 0];
  const received = () => {
    const since = come.bytes - told;
    told += since;
    return since;
  };
  const waitForRoom = async (needed: number) => {
    await room.take(needed);
    taken = needed;
  };
  for await (const opened of openedAnswers(readBody(body, { areLent: true }), waitForRoom)) {
    const own = owned(opened);
    const report: Report = { is: 'answer', answer: own.answer, taken, received: received() };
    port.postMessage(report, [own.buffer]);
  }
  port.postMessage({ is: 'ended', received: received() } satisfies Report);
}

/** The answer in a buffer that can be given away. */
function owned(answer: OpenedAnswer): { readonly answer: OpenedAnswer; readonly buffer: ArrayBuffer } {
  if ('frame' in answer) {
    const payload = new Uint8Array(answer.frame.payload);
    return { answer: { ...answer, frame: { ...answer.frame, payload } }, buffer: payload.buffer };
  }
  const { raw = new Uint8Array() } = answer.group;
  // A short one may lie in a pool.
  const isAlone = raw.buffer.byteLength < 2 * raw.length && raw.buffer instanceof ArrayBuffer;
  const own = isAlone ? raw : new Uint8Array(raw);
  const group = answer.group.raw === undefined ? answer.group : { ...answer.group, raw: own };
  return { answer: { ...answer, group }, buffer: own.buffer as ArrayBuffer };
}

async function whole(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > MAX_REFUSAL_BYTES) throw new LineBroken('the answer is too long');
    parts.push(new Uint8Array(piece));
  }
  return Buffer.concat(parts);
}

/** So many bytes may lie here. */
class Room {
  readonly #bytes: number;
  #taken = 0;
  #wake: () => void = () => undefined;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** Waits until there is room for so many, or nothing lies here. */
  async take(bytes: number): Promise<void> {
    while (this.#taken > 0 && this.#taken + bytes > this.#bytes) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#taken += bytes;
  }

  free(bytes: number): void {
    this.#taken -= bytes;
    this.#wake();
  }
}

/** What runs on the receiver's thread: sends a request, receives, decodes and hashes what comes, ahead of who takes it. */

import { type MessagePort, parentPort } from 'node:worker_threads';
import { Condition, readBody, toOverdubError } from '@overdub/core/agent';
import { type LeanAnswer, LineBroken, leanPost } from './lean-post.ts';
import { type Order, type Report, type Sending, STOP, type Taken } from './messages.ts';
import { type OpenedAnswer, openedAnswers } from './opened-answers.ts';

/** Of answers that nobody has taken yet, so many bytes: at least one answer, however long. */
const AHEAD_BYTES = 48 * 1024 * 1024;
/** Of a refusal, as much as is looked at. */
const MAX_REFUSAL_BYTES = 64 * 1024 * 1024;

parentPort?.on('message', (order: Order | typeof STOP) => {
  // Without requests under way, nothing keeps the thread then.
  if (order === STOP) parentPort?.close();
  else void serve(order);
});

async function serve({ request, port }: Order): Promise<void> {
  const stop = new AbortController();
  const room = new Room(AHEAD_BYTES);
  const sendings = new Sendings();
  const tell = (report: Report) => port.postMessage(report);
  port.on('message', (told: Taken | Sending) => {
    if ('taken' in told) room.free(told.taken);
    else sendings.add(told);
  });
  port.once('close', () => {
    stop.abort();
    room.free(Number.POSITIVE_INFINITY);
    sendings.add({ sent: true });
  });
  try {
    const lean = await leanPost({ ...request, body: request.body ?? sendings.pieces() }, stop.signal);
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
  let told = 0;
  /** Of answers that have come, or are about to, and are not passed on yet. */
  const rooms: number[] = [];
  const received = () => {
    const since = come.bytes - told;
    told += since;
    return since;
  };
  const waitForRoom = async (needed: number) => {
    await room.take(needed);
    rooms.push(needed);
  };
  const frames = readBody(body, { areLent: true });
  for await (const opened of openedAnswers(frames, { room: waitForRoom, overlaps: true })) {
    const own = owned(opened);
    const taken = rooms.shift() as number;
    const report: Report = { is: 'answer', answer: own.answer, taken, received: received() };
    port.postMessage(report, [own.buffer]);
  }
  port.postMessage({ is: 'ended', received: received() } satisfies Report);
}

/** The answer in a buffer that can be given away. */
function owned(answer: OpenedAnswer): { readonly answer: OpenedAnswer; readonly buffer: ArrayBuffer } {
  if ('frame' in answer) {
    // Of its own, since answers overlap.
    return { answer, buffer: answer.frame.payload.buffer as ArrayBuffer };
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

/** A body that comes in pieces. */
class Sendings {
  readonly #waiting: Sending[] = [];
  readonly #more = new Condition();

  add(sending: Sending): void {
    this.#waiting.push(sending);
    this.#more.notify();
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    for (;;) {
      await this.#more.until(() => this.#waiting.length > 0);
      const next = this.#waiting.shift() as Sending;
      if ('sent' in next) return;
      yield next.send;
    }
  }
}

/** So many bytes may lie here. */
class Room {
  readonly #bytes: number;
  #taken = 0;
  readonly #freed = new Condition();

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** Waits until there is room for so many, or nothing lies here. */
  async take(bytes: number): Promise<void> {
    await this.#freed.until(() => this.#taken <= 0 || this.#taken + bytes <= this.#bytes);
    this.#taken += bytes;
  }

  free(bytes: number): void {
    this.#taken -= bytes;
    this.#freed.notify();
  }
}

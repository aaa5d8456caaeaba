/** NDJSON lists, server-sent events and file bytes as responses. */

import { Readable } from 'node:stream';
import { type Clock, type Event, toOverdubError } from '@overdub/core';
import type { FastifyReply } from 'fastify';

/** Between two comments on a silent event stream, so that proxies keep it open. */
const HEARTBEAT_MS = 15_000;

/**
 * One JSON value a line. The first value is awaited before anything is sent, so that what fails at once is an
 * ordinary error; a later failure is a last line `{"error": …}`.
 */
export async function sendLines(reply: FastifyReply, values: AsyncIterable<unknown>): Promise<FastifyReply> {
  const iterator = values[Symbol.asyncIterator]();
  const first = await iterator.next();
  return reply
    .type('application/x-ndjson')
    .send(Readable.from(lines(first, iterator), { objectMode: false }));
}

async function* lines(
  first: IteratorResult<unknown>,
  iterator: AsyncIterator<unknown>,
): AsyncGenerator<string, void, undefined> {
  try {
    for (let next = first; next.done !== true; next = await iterator.next())
      yield `${JSON.stringify(next.value)}\n`;
  } catch (error) {
    yield `${JSON.stringify({ error: toOverdubError(error).toJSON() })}\n`;
  } finally {
    await iterator.return?.();
  }
}

/** Bytes of known length; a failure on the way cuts the connection, which the length gives away. */
export function sendBytes(
  reply: FastifyReply,
  bytes: number,
  content: AsyncIterable<Uint8Array>,
): FastifyReply {
  return reply
    .type('application/octet-stream')
    .header('content-length', bytes)
    .send(Readable.from(content, { objectMode: false }));
}

/** Server-sent events (https://html.spec.whatwg.org/#server-sent-events) until the signal aborts. */
export function sendEvents(
  reply: FastifyReply,
  events: AsyncIterable<Event>,
  options: { readonly clock: Clock; readonly signal: AbortSignal },
): FastifyReply {
  return reply
    .type('text/event-stream')
    .header('cache-control', 'no-store')
    .send(Readable.from(frames(events, options), { objectMode: false }));
}

async function* frames(
  events: AsyncIterable<Event>,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): AsyncGenerator<string, void, undefined> {
  yield ': connected\n\n';
  const iterator = events[Symbol.asyncIterator]();
  let pending = iterator.next();
  try {
    while (!signal.aborted) {
      const next = await orHeartbeat(pending, clock, signal);
      if (next === 'heartbeat') {
        yield ': alive\n\n';
        continue;
      }
      if (next.done === true) return;
      yield `id: ${next.value.id}\nevent: ${next.value.type}\ndata: ${JSON.stringify(next.value)}\n\n`;
      pending = iterator.next();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    pending.catch(() => {});
    await iterator.return?.();
  }
}

async function orHeartbeat<T>(
  pending: Promise<T>,
  clock: Clock,
  signal: AbortSignal,
): Promise<T | 'heartbeat'> {
  const answered = new AbortController();
  const beat = clock
    .sleep(HEARTBEAT_MS, AbortSignal.any([signal, answered.signal]))
    .then(() => 'heartbeat' as const);
  beat.catch(() => {});
  try {
    return await Promise.race([pending, beat]);
  } finally {
    answered.abort();
  }
}

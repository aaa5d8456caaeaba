/** HTTP manners of the agent routes: counting bytes, raw bodies, errors as JSON. */

import { type Readable, Transform } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ErrorCode } from '../errors.ts';
import { OverdubError, toOverdubError } from '../errors.ts';

/** Content type of compressed frames. */
export const FRAMES_TYPE = 'application/vnd.overdub.frames+zstd';
/** Content type of digest lists and bitmaps. */
export const BINARY_TYPE = 'application/octet-stream';
/** Largest JSON body: a commit that lists skipped paths. */
export const JSON_LIMIT = 4 * 1024 * 1024;

const STATUS: Partial<Record<ErrorCode, number>> = {
  UNAUTHORIZED: 401,
  MACHINE_HELD: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  OPERATION_CANCELLED: 409,
  AGENT_LOST: 409,
  INPUT_INVALID: 400,
  DELTA_INVALID: 422,
  DELTA_TOO_LARGE: 422,
  DRIVER_MISSING: 422,
  IMAGE_INVALID: 422,
  ARCH_UNKNOWN: 422,
  REPOSITORY_FULL: 507,
};

/** Bytes of a request's body as they came over the wire so far. */
const received = new WeakMap<FastifyRequest, { bytes: number }>();

/** Body bytes of this request, as on the wire. */
export function bytesReceived(request: FastifyRequest): number {
  return received.get(request)?.bytes ?? 0;
}

/** Raw bodies for bulk data, byte counts for all, and every failure as `{"error": {code, message, remedy}}`. */
export function installManners(server: FastifyInstance): void {
  server.addHook('preParsing', async (request, _reply, payload) => {
    const count = { bytes: 0 };
    received.set(request, count);
    const counter = new Transform({
      transform(piece: Buffer, _encoding, done) {
        count.bytes += piece.length;
        done(null, piece);
      },
    });
    payload.on('error', (error) => counter.destroy(error));
    payload.on('close', () => {
      if (!payload.readableEnded) counter.destroy(new Error('the agent closed the connection'));
    });
    return payload.pipe(counter);
  });
  // What a refusal left unread would stand before the next request on this connection, for ever.
  server.addHook('onResponse', async ({ raw }) => {
    if (raw.readableEnded) return;
    raw.unpipe();
    raw.resume();
  });
  for (const type of [FRAMES_TYPE, BINARY_TYPE]) {
    server.addContentTypeParser(type, (_request, payload, done) => done(null, payload));
  }
  server.setErrorHandler((error, request, reply) => answerError(error, request, reply));
}

function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = asKnown(error);
  if (known.code === 'INTERNAL') request.log.error({ err: error }, 'agent request failed');
  return reply.code(STATUS[known.code] ?? 500).send({ error: known.toJSON() });
}

/** Fastify's own refusals (a body too large, broken JSON) are the sender's fault. */
function asKnown(error: unknown): OverdubError {
  const status = (error as { statusCode?: unknown }).statusCode;
  if (error instanceof OverdubError || typeof status !== 'number' || status >= 500) {
    return toOverdubError(error, 'INTERNAL', 'See the log of the appliance; please report it.');
  }
  return toOverdubError(error, 'INPUT_INVALID', 'Compare the versions of agent and appliance.');
}

/** A small binary body, whole. INPUT_INVALID past `limit` bytes, before more is read. */
export async function readSmall(body: Readable, limit: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body.iterator({ destroyOnReturn: false })) {
    bytes += (piece as Buffer).length;
    if (bytes > limit) {
      throw new OverdubError(
        'INPUT_INVALID',
        `A request body is longer than the ${limit} bytes allowed.`,
        'Compare the versions of agent and appliance.',
      );
    }
    parts.push(piece as Buffer);
  }
  return Buffer.concat(parts);
}

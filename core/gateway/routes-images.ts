/** Routes of images on their way out. */

import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isDigest } from '../domain/content-ref.ts';
import { compressFrames } from '../domain/frames.ts';
import type { ContentRef } from '../domain/manifest.ts';
import { WIRE_BLOCK_BYTES } from '../domain/transfer-bodies.ts';
import { asObject, invalidField, manifestRef, requiredInteger, requiredText } from './fields.ts';
import type { Rooms } from './gateway.ts';
import { FRAMES_TYPE, JSON_LIMIT } from './http.ts';
import { withSession } from './routes-session.ts';
import { sendPacked } from './send-packed.ts';
import type { Session } from './sessions.ts';

/** Bodies of reads: digests and signatures, bounded again inside. */
const READ_LIMIT = { bodyLimit: 128 * 1024 * 1024 };

export function addImageRoutes(server: FastifyInstance, rooms: Rooms): void {
  const { reads } = rooms;
  const bulk = async (
    request: FastifyRequest,
    read: (session: Session, body: Readable) => Promise<AsyncIterable<Uint8Array>>,
  ): Promise<Readable> => {
    const frames = await withSession(rooms, request, (session) => read(session, request.body as Readable));
    return compressFrames(keepAlive(rooms, request, frames), 'light');
  };

  server.post('/images/manifest', READ_LIMIT, async (request, reply) =>
    reply.type(FRAMES_TYPE).send(await bulk(request, (session, body) => reads.manifest(session, body))),
  );
  server.post('/images/fetch', READ_LIMIT, async (request, reply) => {
    const { frames, isPacked } = await withSession(rooms, request, (session) =>
      reads.fetch(session, request.body as Readable),
    );
    const alive = keepAlive(rooms, request, frames);
    if (isPacked) await sendPacked(reply, alive);
    else reply.type(FRAMES_TYPE).send(compressFrames(alive, 'light'));
    return reply;
  });
  server.post('/images/fetch-against', READ_LIMIT, async (request, reply) =>
    reply.type(FRAMES_TYPE).send(await bulk(request, (session, body) => reads.fetchAgainst(session, body))),
  );
  server.post('/images/signature', { bodyLimit: JSON_LIMIT }, async (request, reply) => {
    const fields = asObject(request.body, 'the request');
    const image = manifestRef(fields.image, 'image');
    const content = contentRef(fields.content);
    const codec = requiredText(fields, 'codec', 50);
    const frames = await withSession(rooms, request, (session) =>
      reads.signature(session, image, content, codec, WIRE_BLOCK_BYTES),
    );
    return reply.type(FRAMES_TYPE).send(compressFrames(keepAlive(rooms, request, frames), 'light'));
  });
}

/** A long answer is a sign of life of its reader, too. */
async function* keepAlive(
  rooms: Rooms,
  request: FastifyRequest,
  frames: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  const session = rooms.sessions.of(token);
  for await (const frame of frames) {
    rooms.sessions.stillThere(session);
    yield frame;
  }
}

function contentRef(value: unknown): ContentRef {
  const fields = asObject(value, 'content');
  const { digest, chunks } = fields;
  if (!isDigest(digest) || !Array.isArray(chunks)) throw invalidField('content is malformed');
  return {
    digest,
    bytes: requiredInteger(fields, 'bytes'),
    chunks: chunks.map((item) => {
      const chunk = asObject(item, 'a chunk');
      if (!isDigest(chunk.digest)) throw invalidField('a chunk has no digest');
      return { digest: chunk.digest, bytes: requiredInteger(chunk, 'bytes') };
    }),
  };
}

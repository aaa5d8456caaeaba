/** `GET /boot/<artifact>`: every artifact by HTTP, with one range and strong validators (RFC 9110 §13, §14). */

import type { OutgoingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Artifact, NetbootService } from '../contracts/boot.ts';
import { sendFile } from './file-download.ts';

/** Adds the route. Names with a route of their own (a plugin's) are more specific and win. */
export function registerArtifacts(server: FastifyInstance, netboot: NetbootService): void {
  server.route({
    method: ['GET', 'HEAD'],
    url: '/boot/*',
    handler: async (request, reply) => {
      const artifact = await netboot.artifact((request.params as { '*': string })['*']);
      if (artifact === undefined) return reply.code(404).type('text/plain').send('no such boot artifact\n');
      return serve(artifact, request, reply);
    },
  });
}

async function serve(
  artifact: Artifact,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const etag = quoted(artifact.etag);
  reply.header('etag', etag).header('accept-ranges', 'bytes').type(artifact.contentType);
  if (matches(request.headers['if-none-match'], etag)) return reply.code(304).send();
  const ifRange = request.headers['if-range'];
  const asked = ifRange === undefined || ifRange === etag ? request.headers.range : undefined;
  const range = asked === undefined ? undefined : parseRange(asked, artifact.bytes);
  if (range === 'unsatisfiable') {
    return reply.code(416).header('content-range', `bytes */${artifact.bytes}`).send();
  }
  if (range !== undefined) {
    const last = range.offset + range.length - 1;
    reply.code(206).header('content-range', `bytes ${range.offset}-${last}/${artifact.bytes}`);
  }
  reply.header('content-length', range?.length ?? artifact.bytes);
  if (request.method === 'HEAD') return reply.send();
  if (artifact.openFile === undefined) {
    return reply.send(Readable.from(artifact.read(range), { objectMode: false }));
  }
  const file = await artifact.openFile();
  reply.hijack();
  reply.raw.writeHead(reply.statusCode, reply.getHeaders() as OutgoingHttpHeaders);
  await sendFile(reply.raw, file, range ?? { offset: 0, length: artifact.bytes });
  return reply;
}

/** One range; several, or none that is understood, mean the whole (RFC 9110 §14.2 allows it). */
export function parseRange(
  header: string,
  bytes: number,
): { offset: number; length: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header.trim());
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  const [first, last] = [match[1] ?? '', match[2] ?? ''];
  if (first === '') {
    const length = Math.min(Number(last), bytes);
    return length === 0 ? 'unsatisfiable' : { offset: bytes - length, length };
  }
  const offset = Number(first);
  const end = last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1);
  if (last !== '' && Number(last) < offset) return undefined;
  return offset >= bytes ? 'unsatisfiable' : { offset, length: end - offset + 1 };
}

function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header === '*' || header.split(',').some((each) => each.trim().replace(/^W\//, '') === etag);
}

function quoted(etag: string): string {
  return etag.startsWith('"') ? etag : `"${etag}"`;
}

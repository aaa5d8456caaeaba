/** Routes of a snapshot on its way in. */

import type { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { isDigest } from '../domain/content-ref.ts';
import { unpackDigests } from '../domain/digest-set.ts';
import type { SkippedPath } from '../domain/manifest.ts';
import type { CommitRequest, SnapshotTask } from '../domain/protocol.ts';
import { DIGESTS_LIMIT } from '../domain/transfer-bodies.ts';
import {
  asObject,
  type Fields,
  invalidField,
  manifestRef,
  optionalInteger,
  optionalText,
  requiredInteger,
  requiredText,
} from './fields.ts';
import type { Rooms } from './gateway.ts';
import { BINARY_TYPE, bytesReceived, JSON_LIMIT, readSmall } from './http.ts';
import { withSession } from './routes-session.ts';

/** Skipped paths that a commit may list. */
const MAX_SKIPPED = 1000;

export function addTransferRoutes(server: FastifyInstance, rooms: Rooms): void {
  const { transfers, jobs, options } = rooms;

  server.post('/transfers', (request) =>
    withSession(rooms, request, async (session) => {
      const fields = asObject(request.body, 'the request');
      const base = optionalText(fields, 'base', 64);
      const { offer, transfer } = await transfers.begin(session, {
        task: requiredText(fields, 'task', 200),
        ageMs: optionalInteger(fields, 'ageMs') ?? 0,
        ...(base !== undefined && isDigest(base) ? { base } : {}),
      });
      if (transfer !== undefined) {
        transfer.bytes.received += bytesReceived(request);
        transfer.bytes.sent += Buffer.byteLength(JSON.stringify(offer));
      }
      return offer;
    }),
  );

  server.post<{ Params: { id: string; kind: string } }>(
    '/transfers/:id/offer/:kind',
    { bodyLimit: Number.MAX_SAFE_INTEGER },
    async (request, reply) => {
      const bitmap = await withSession(rooms, request, async (session) => {
        const { kind } = request.params;
        if (kind !== 'pages' && kind !== 'chunks') throw invalidField('offers are of pages or chunks');
        const transfer = transfers.of(session, request.params.id);
        const digests = unpackDigests(await readSmall(request.body as Readable, DIGESTS_LIMIT * 32));
        if (digests === undefined) throw invalidField('an offer is a list of 32-byte digests');
        const answer = await transfer.offer(kind, digests);
        transfer.bytes.received += bytesReceived(request);
        transfer.bytes.sent += answer.length;
        return answer;
      });
      return reply.type(BINARY_TYPE).send(bitmap);
    },
  );

  server.post<{ Params: { id: string } }>(
    '/transfers/:id/upload',
    { bodyLimit: Number.MAX_SAFE_INTEGER },
    (request) =>
      withSession(rooms, request, async (session) => {
        const transfer = transfers.of(session, request.params.id);
        try {
          await transfers.upload(transfer, request.body as Readable);
        } finally {
          transfer.bytes.received += bytesReceived(request);
          transfer.bytes.sent += 2;
        }
        return {};
      }),
  );

  server.post<{ Params: { id: string } }>('/transfers/:id/commit', { bodyLimit: JSON_LIMIT }, (request) =>
    withSession(rooms, request, async (session) => {
      const transfer = transfers.of(session, request.params.id);
      transfer.bytes.received += bytesReceived(request);
      const snapshot = await transfers.commit(transfer, checkCommit(request.body));
      const { task, job } = transfer.options;
      if (job.adopted) {
        jobs.end(job, { result: { snapshot } });
        await options.policy.endSnapshot(task as SnapshotTask, { snapshot });
      }
      return snapshot;
    }),
  );
}

function checkCommit(body: unknown): CommitRequest {
  const fields = asObject(body, 'the commit');
  const { consistency } = fields;
  if (consistency !== 'application' && consistency !== 'crash' && consistency !== 'fuzzy') {
    throw invalidField('consistency must be application, crash or fuzzy');
  }
  return {
    manifest: manifestRef(fields.manifest, 'manifest'),
    consistency,
    skipped: skippedPaths(fields),
    skippedTotal: requiredInteger(fields, 'skippedTotal'),
    filesChanged: requiredInteger(fields, 'filesChanged'),
  };
}

const REASONS: ReadonlySet<unknown> = new Set<SkippedPath['reason']>([
  'excluded',
  'socket',
  'other-filesystem',
  'pseudo-filesystem',
  'vanished',
  'changing',
  'unreadable',
]);

function skippedPaths(fields: Fields): SkippedPath[] {
  const { skipped } = fields;
  if (!Array.isArray(skipped) || skipped.length > MAX_SKIPPED) throw invalidField('skipped must be a list');
  return skipped.map((item) => {
    const one = asObject(item, 'skipped');
    if (!REASONS.has(one.reason)) throw invalidField('a skipped path has no known reason');
    return {
      path: requiredText({ path: one.path === '' ? '.' : one.path }, 'path', 4096),
      reason: one.reason as SkippedPath['reason'],
    };
  });
}

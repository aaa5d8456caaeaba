/** Routes of a session's life: hello, bundle, waiting for work, reports, work the agent itself begins. */

import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { AgentBundle } from '../contracts/agent-bundle.ts';
import { isDigest } from '../domain/content-ref.ts';
import type { Orders, SnapshotTask, TaskReport, Welcome } from '../domain/protocol.ts';
import { isServerName } from '../domain/server.ts';
import type { SnapshotReason } from '../domain/snapshot.ts';
import { OverdubError } from '../errors.ts';
import { asObject, type Fields, invalidField, requiredText, textList } from './fields.ts';
import type { Rooms } from './gateway.ts';
import { JSON_LIMIT } from './http.ts';
import type { Session } from './sessions.ts';

/** Longest wait of one poll, seconds: proxies close idle connections after a minute. */
const MAX_WAIT_SECONDS = 50;
/** The same for a held machine, which should soon show on its console that it was accepted. */
const HELD_WAIT_SECONDS = 5;
/** A snapshot that an agent began by itself is given up after this silence. */
const OWN_ABSENCE_MS = 60_000;

const compress = promisify(zstdCompress);

export function addSessionRoutes(server: FastifyInstance, rooms: Rooms): void {
  const { sessions, jobs, options } = rooms;
  const now = () => new Date(options.clock.now()).toISOString();

  server.post('/hello', { bodyLimit: JSON_LIMIT }, async (request): Promise<Welcome> => {
    const { session, token } = await sessions.open(request.body, request.ip);
    return { ...session.welcome, session: token, now: now(), groups: true, streams: true };
  });

  server.get('/bundle', (request) =>
    withSession(rooms, request, async () => {
      const { digest, entry, files } = await requireBundle(rooms);
      return { digest, entry, files };
    }),
  );

  server.get<{ Params: { digest: string } }>('/bundle/:digest', async (request, reply) => {
    const bytes = await withSession(rooms, request, async () => {
      if (!isDigest(request.params.digest)) throw invalidField('a bundle file is named by its digest');
      return await compressed(await requireBundle(rooms), request.params.digest);
    });
    return reply.type('application/zstd').send(bytes);
  });

  server.get<{ Querystring: { wait?: string } }>('/task', (request, reply) =>
    withSession(rooms, request, async (session): Promise<Orders> => {
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      await sessions.refresh(session);
      const longest = session.identity.standing === 'held' ? HELD_WAIT_SECONDS : MAX_WAIT_SECONDS;
      const wait = Math.min(Math.max(Number(request.query.wait ?? 0) || 0, 0), longest);
      const task = await jobs.next(session, wait * 1000, AbortSignal.any([gone.signal, rooms.closing]));
      const { standing, machineName, server: name, schedule } = session.welcome;
      const bundle = await options.bundle?.();
      return {
        ...(task === undefined ? {} : { task }),
        standing,
        ...(machineName === undefined ? {} : { machineName }),
        ...(name === undefined ? {} : { server: name }),
        ...(schedule === undefined ? {} : { schedule }),
        ...(bundle === undefined ? {} : { bundle: bundle.digest }),
        now: now(),
      };
    }),
  );

  server.post<{ Params: { id: string } }>('/tasks/:id', { bodyLimit: JSON_LIMIT }, (request) =>
    withSession(rooms, request, async (session) => {
      const report = checkReport(request.body);
      const job = jobs.get(request.params.id);
      const answer = jobs.report(session, request.params.id, report);
      if (job?.adopted === true && report.state === 'failed') {
        const error = OverdubError.fromJSON(report.error);
        await options.policy.endSnapshot(job.task as SnapshotTask, { error });
      }
      return answer;
    }),
  );

  server.post('/snapshots', (request) =>
    withSession(rooms, request, async (session) => {
      refuseHeld(session);
      const fields = asObject(request.body, 'the request');
      const task = await options.policy.beginSnapshot(session.identity, {
        server: serverName(fields),
        reason: reasonOf(fields),
      });
      const target = { server: task.server.name, where: session.hello.where };
      const job = jobs.adopt(task, withOwner(session, target), OWN_ABSENCE_MS);
      endWhenLost(rooms, job.outcome, task);
      return task;
    }),
  );

  server.post('/restores', (request) =>
    withSession(rooms, request, async (session) => {
      refuseHeld(session);
      const fields = asObject(request.body, 'the request');
      return await options.policy.beginRestore(session.identity, {
        server: serverName(fields),
        selector: requiredText(fields, 'selector', 200),
        dryRun: fields.dryRun === true,
        keep: textList(fields, 'keep'),
        only: textList(fields, 'only'),
      });
    }),
  );
}

/** Finds the session, counts it as busy while `work` runs, and passes on what it returns. */
export async function withSession<T>(
  rooms: Rooms,
  request: FastifyRequest,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const header = request.headers.authorization ?? '';
  const session = rooms.sessions.of(/^Bearer ([\w-]{20,200})$/.exec(header)?.[1]);
  session.open += 1;
  rooms.sessions.seen(session);
  try {
    return await work(session);
  } finally {
    session.open -= 1;
    session.lastSeenAt = rooms.options.clock.now();
  }
}

/** Held machines may report facts and wait, nothing else. MACHINE_HELD. */
export function refuseHeld(session: Session): void {
  if (session.identity.standing !== 'held') return;
  throw new OverdubError(
    'MACHINE_HELD',
    'This machine is held: it waits for an administrator.',
    'Accept it: overdub machine accept MACHINE.',
  );
}

/** An agent of a machine is found by its machine, one that works on a directory by its server. */
function withOwner(session: Session, target: { server: string; where: 'ramdisk' | 'server' }) {
  const { machineId, server } = session.identity;
  if (server !== undefined) return target;
  return machineId === undefined ? target : { machineId, where: target.where };
}

/** When the agent vanishes, the operation it began ends with the loss. A commit or a report ended it already. */
function endWhenLost(rooms: Rooms, outcome: Promise<unknown>, task: SnapshotTask): void {
  outcome.catch(async (error: unknown) => {
    if (!(error instanceof OverdubError) || error.code !== 'AGENT_LOST') return;
    try {
      await rooms.options.policy.endSnapshot(task, { error });
    } catch (failure) {
      rooms.options.log.error({ err: failure, task: task.id }, 'a lost snapshot could not be ended');
    }
  });
}

const packed = new WeakMap<AgentBundle, Map<string, Promise<Buffer>>>();

/** Once a file, not once a machine: a thousand that boot at once ask for the same few. */
function compressed(bundle: AgentBundle, digest: string): Promise<Buffer> {
  const files = packed.get(bundle) ?? new Map<string, Promise<Buffer>>();
  packed.set(bundle, files);
  const known = files.get(digest);
  if (known !== undefined) return known;
  const params = { [constants.ZSTD_c_compressionLevel]: 6 };
  const fresh = bundle.read(digest).then((bytes) => compress(bytes, { params }));
  files.set(digest, fresh);
  fresh.catch(() => files.delete(digest));
  return fresh;
}

async function requireBundle(rooms: Rooms): Promise<AgentBundle> {
  const bundle = await rooms.options.bundle?.();
  if (bundle !== undefined) return bundle;
  throw new OverdubError(
    'NOT_FOUND',
    'This appliance has no program for agents.',
    'Add the plugin "agent" to the configuration.',
  );
}

function checkReport(body: unknown): TaskReport {
  const fields = asObject(body, 'the report');
  const { state } = fields;
  if (state === 'running') return { state, progress: asObject(fields.progress ?? {}, 'progress') };
  if (state === 'done') return { state, result: fields.result ?? {} };
  if (state !== 'failed') throw invalidField('state must be running, done or failed');
  const error = asObject(fields.error, 'error');
  return {
    state,
    error: {
      code: requiredText(error, 'code', 50),
      message: requiredText(error, 'message', 10_000),
      remedy: typeof error.remedy === 'string' ? error.remedy : '',
    },
  };
}

function serverName(fields: Fields): string {
  const name = requiredText(fields, 'server', 63);
  if (!isServerName(name)) throw invalidField('server is no server name');
  return name;
}

function reasonOf(fields: Fields): SnapshotReason {
  const { reason } = fields;
  if (reason === 'schedule' || reason === 'manual' || reason === 'safety') return reason;
  throw invalidField('reason must be schedule, manual or safety');
}

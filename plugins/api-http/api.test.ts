import type { Entry, Machine, Master, Operation, Server, Snapshot } from '@overdub/core';
import { type ApplianceControl, ERROR_CODES, type ErrorCode, OverdubError } from '@overdub/core';
import Fastify, { type FastifyInstance, type InjectOptions } from 'fastify';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { afterEach, describe, expect, test } from 'vitest';
import { registerApi } from './api.ts';
import { HTTP_STATUS } from './http-errors.ts';
import { RECORDS } from './schemas.ts';
import { type FakeControl, fakeControl } from './testing/fake-control.ts';
import * as records from './testing/records.ts';

const log = { debug() {}, info() {}, warn() {}, error() {} };
const clock = {
  now: () => 0,
  sleep: (ms: number, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, ms);
      signal?.addEventListener('abort', () => {
        clearTimeout(timer);
        reject(signal.reason);
      });
    }),
};
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function serve(
  answers: Partial<ApplianceControl>,
  prefix?: string,
): Promise<FakeControl & { app: FastifyInstance }> {
  const fake = fakeControl(answers);
  const app = Fastify();
  const stop = new AbortController();
  const options = {
    control: () => fake.control,
    log,
    clock,
    signal: stop.signal,
    openapi: true,
    maxBodyBytes: 4096,
  };
  if (prefix === undefined) await registerApi(app, options);
  else await app.register((scope) => registerApi(scope, options), { prefix });
  await app.ready();
  closers.push(async () => {
    stop.abort();
    await app.close();
  });
  return { ...fake, app };
}

const as = (role: string, options: InjectOptions): InjectOptions => ({
  ...options,
  headers: { authorization: `Bearer ${role}-secret`, ...options.headers },
});

type Case = readonly [
  role: string,
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  url: string,
  payload: object | undefined,
  call: string,
  args: readonly unknown[],
];
const by = (role: string) => `${role}-token`;
const stream = async function* <T>(...values: T[]) {
  yield* values;
};
const answers: Partial<ApplianceControl> = {
  listMachines: async () => [records.machine],
  getMachine: async () => records.machine,
  acceptMachine: async () => records.machine,
  rejectMachine: async () => records.machine,
  labelMachine: async () => records.machine,
  renameMachine: async () => records.machine,
  forgetMachine: async () => undefined,
  importMaster: async () => records.operation,
  listMasters: async () => [records.master],
  getMaster: async () => records.master,
  removeMaster: async () => undefined,
  createServer: async () => records.server,
  listServers: async () => [records.server],
  getServer: async () => records.server,
  setServer: async () => records.server,
  removeServer: async () => undefined,
  assignServer: async () => records.operation,
  releaseServer: async () => records.server,
  takeSnapshot: async () => records.operation,
  listSnapshots: async () => [records.snapshot],
  resolveSnapshot: async () => records.snapshot,
  pinSnapshot: async () => records.snapshot,
  removeSnapshot: async () => undefined,
  rollback: async () => records.operation,
  move: async () => records.operation,
  listOperations: async () => [records.operation],
  getOperation: async () => records.operation,
  cancelOperation: async () => records.operation,
  resolveImage: async () => ({ manifest: records.master.manifest, label: 'web@3' }),
  diff: () => stream(records.change),
  log: () => stream({ snapshot: records.snapshot, change: 'content' as const }),
  listFiles: () => stream(records.entry),
  readFile: async () => ({ entry: records.entry, content: stream(Buffer.from('hello\n')) }),
  createToken: async (request) => ({ id: 't', createdAt: '', ...request, secret: 's' }),
  listTokens: async () => [],
  revokeToken: async () => undefined,
};

/** Every call of the control, with the least role that may make it. */
const CASES: readonly Case[] = [
  ['viewer', 'GET', '/machines', undefined, 'listMachines', []],
  ['viewer', 'GET', '/machines/m1', undefined, 'getMachine', ['m1']],
  ['operator', 'POST', '/machines/m1/accept', undefined, 'acceptMachine', ['m1', by('operator')]],
  [
    'operator',
    'POST',
    '/machines/52:54:00:0d:0b:01/reject',
    undefined,
    'rejectMachine',
    ['52:54:00:0d:0b:01', by('operator')],
  ],
  [
    'operator',
    'PATCH',
    '/machines/old',
    { labels: { rack: null } },
    'labelMachine',
    ['m1', { rack: null }, by('operator')],
  ],
  ['operator', 'PATCH', '/machines/old', { name: 'new' }, 'renameMachine', ['m1', 'new', by('operator')]],
  ['admin', 'DELETE', '/machines/m1', undefined, 'forgetMachine', ['m1', by('admin')]],
  [
    'admin',
    'POST',
    '/masters',
    { name: 'web', source: '/srv/web' },
    'importMaster',
    [{ name: 'web', source: '/srv/web' }, by('admin')],
  ],
  ['viewer', 'GET', '/masters', undefined, 'listMasters', []],
  ['viewer', 'GET', '/masters/web@3', undefined, 'getMaster', ['web@3']],
  ['admin', 'DELETE', '/masters/web@3', undefined, 'removeMaster', ['web@3', by('admin')]],
  [
    'operator',
    'POST',
    '/servers',
    { name: 'web-1', master: 'web', retention: { last: 3 } },
    'createServer',
    [{ name: 'web-1', master: 'web', retention: { last: 3 } }, by('operator')],
  ],
  ['viewer', 'GET', '/servers', undefined, 'listServers', []],
  ['viewer', 'GET', '/servers/web-1', undefined, 'getServer', ['web-1']],
  [
    'operator',
    'PATCH',
    '/servers/web-1',
    { clearSchedule: true },
    'setServer',
    ['web-1', { clearSchedule: true }, by('operator')],
  ],
  ['admin', 'DELETE', '/servers/web-1', undefined, 'removeServer', ['web-1', by('admin')]],
  [
    'operator',
    'POST',
    '/servers/web-1/assign',
    { machine: 'm1' },
    'assignServer',
    ['web-1', 'm1', by('operator')],
  ],
  ['operator', 'POST', '/servers/web-1/release', undefined, 'releaseServer', ['web-1', by('operator')]],
  [
    'operator',
    'POST',
    '/servers/web-1/move',
    { machine: 'm2' },
    'move',
    [{ server: 'web-1', machine: 'm2' }, by('operator')],
  ],
  [
    'operator',
    'POST',
    '/servers/web-1/rollback',
    { to: '~2', dryRun: true, keep: ['srv'] },
    'rollback',
    [{ to: '~2', dryRun: true, keep: ['srv'], server: 'web-1' }, by('operator')],
  ],
  ['operator', 'POST', '/servers/web-1/snapshots', undefined, 'takeSnapshot', ['web-1', by('operator')]],
  ['viewer', 'GET', '/servers/web-1/snapshots', undefined, 'listSnapshots', ['web-1']],
  ['viewer', 'GET', '/servers/web-1/snapshots/~2', undefined, 'resolveSnapshot', ['web-1', '~2', {}]],
  [
    'viewer',
    'GET',
    '/servers/web-1/snapshots/2026-11-22T12:45%2B01:00?strictlyBefore=true',
    undefined,
    'resolveSnapshot',
    ['web-1', '2026-11-22T12:45+01:00', { strictlyBefore: true }],
  ],
  [
    'operator',
    'PUT',
    '/servers/web-1/snapshots/latest/pinned',
    { pinned: true },
    'pinSnapshot',
    ['web-1', 'latest', true, by('operator')],
  ],
  [
    'admin',
    'DELETE',
    '/servers/web-1/snapshots/~1',
    undefined,
    'removeSnapshot',
    ['web-1', '~1', by('admin')],
  ],
  [
    'viewer',
    'GET',
    '/operations?server=web-1&state=running&limit=5',
    undefined,
    'listOperations',
    [{ server: 'web-1', state: 'running', limit: 5 }],
  ],
  ['viewer', 'GET', '/operations/op1', undefined, 'getOperation', ['op1']],
  ['operator', 'POST', '/operations/op1/cancel', undefined, 'cancelOperation', ['op1', by('operator')]],
  ['viewer', 'GET', '/images/web-1@latest', undefined, 'resolveImage', ['web-1@latest']],
  ['viewer', 'GET', '/images/web@3/files?under=etc', undefined, 'listFiles', ['web@3', 'etc']],
  ['operator', 'GET', '/images/web@3/content?path=etc/motd', undefined, 'readFile', ['web@3', 'etc/motd']],
  ['viewer', 'GET', '/diff?from=web-1@~1&to=web-1@latest', undefined, 'diff', ['web-1@~1', 'web-1@latest']],
  ['viewer', 'GET', '/servers/web-1/log?path=etc/motd', undefined, 'log', ['web-1', 'etc/motd']],
  [
    'admin',
    'POST',
    '/tokens',
    { name: 'ci', role: 'viewer' },
    'createToken',
    [{ name: 'ci', role: 'viewer' }, by('admin')],
  ],
  ['admin', 'GET', '/tokens', undefined, 'listTokens', []],
  ['admin', 'DELETE', '/tokens/t1', undefined, 'revokeToken', ['t1', by('admin')]],
];

const inject = (role: string, [, method, url, payload]: Case): InjectOptions =>
  as(role, { method, url: `/api/v1${url}`, ...(payload === undefined ? {} : { payload }) });

describe.each(CASES)('%s: %s %s', (...row) => {
  const [role, , , , method, args] = row;

  test('calls the control with what was asked and who asked', async () => {
    const { app, calls } = await serve(answers);
    const response = await app.inject(inject(role, row));
    expect(response.statusCode, response.body).toBeLessThan(300);
    expect(calls).toContainEqual({ method, args });
  });

  test('refuses a lesser role with 403 and no token with 401', async () => {
    const { app, calls } = await serve(answers);
    const lesser = { viewer: 'nobody', operator: 'viewer', admin: 'operator' }[role] as string;
    const response = await app.inject(inject(lesser, row));
    expect(response.statusCode).toBe(lesser === 'nobody' ? 401 : 403);
    expect(response.json()).toMatchObject({ code: 'UNAUTHORIZED' });
    expect(calls).toEqual([]);
  });
});

test('every method of the control has a route', async () => {
  const reached = new Set(CASES.map(([, , , , method]) => method));
  const others = ['info', 'waitOperation', 'authenticate', 'events'];
  expect([...reached, ...others].sort()).toEqual([...new Set([...Object.keys(answers), ...others])].sort());
});

describe('tokens', () => {
  test('one limited to a server reaches that server only', async () => {
    const { app } = await serve(answers);
    const status = async (url: string) =>
      (await app.inject(as('web-1', { url: `/api/v1${url}` }))).statusCode;
    expect(await status('/servers/web-1/snapshots')).toBe(200);
    expect(await status('/operations/op1')).toBe(200);
    expect(await status('/servers/web-2/snapshots')).toBe(403);
    expect(await status('/machines')).toBe(403);
    expect(await status('/images/web-2@latest/content?path=etc/shadow')).toBe(403);
    expect(await status('/diff?from=web-2@~1&to=web-2@latest')).toBe(403);
  });

  test('one limited to another server does not see an operation', async () => {
    const { app } = await serve({
      ...answers,
      getOperation: async () => ({ ...records.operation, server: 'db-1' }),
    });
    const response = await app.inject(as('web-1', { method: 'POST', url: '/api/v1/operations/op1/cancel' }));
    expect(response.statusCode).toBe(403);
  });

  test.each(['', 'Basic YTpi', 'Bearer', 'Bearer wrong', `Bearer ${'x'.repeat(600)}`])(
    '%j is 401',
    async (authorization) => {
      const { app } = await serve(answers);
      const response = await app.inject({ url: '/api/v1/machines', headers: { authorization } });
      expect(response.statusCode).toBe(401);
      expect(response.headers['www-authenticate']).toContain('Bearer');
      expect(response.json().remedy).toContain('OVERDUB_TOKEN');
    },
  );
});

describe('bad requests', () => {
  test.each([
    ['POST', '/servers', { name: 'a', scedule: {} }, '`scedule` does not exist'],
    ['POST', '/servers', {}, 'name'],
    [
      'POST',
      '/servers',
      { name: 'a', schedule: { everySeconds: 0, jitterSeconds: 0 } },
      '`schedule.everySeconds`',
    ],
    ['POST', '/tokens', { name: 'a', role: 'root' }, '`role`'],
    ['POST', '/servers/a/rollback', { to: '' }, '`to`'],
    ['POST', '/servers/a/assign', undefined, 'body'],
    ['GET', '/operations?limit=many', undefined, '`limit`'],
    ['GET', '/operations?stat=done', undefined, '`stat` does not exist'],
    ['GET', '/operations/op1?wait=3600', undefined, '`wait`'],
  ] as const)('%s %s %j', async (method, url, payload, message) => {
    const { app } = await serve(answers);
    const response = await app.inject(
      as('admin', { method, url: `/api/v1${url}`, ...(payload ? { payload } : {}) }),
    );
    expect(response.statusCode).toBe(400);
    expect(response.json().code).toBe('INPUT_INVALID');
    expect(response.json().message).toContain(message);
  });

  test('a body that is no JSON, or too large', async () => {
    const { app } = await serve(answers);
    const headers = { 'content-type': 'application/json' };
    const send = (payload: string) =>
      app.inject(as('admin', { method: 'POST', url: '/api/v1/servers', payload, headers }));
    expect((await send('{"name":')).json()).toMatchObject({ code: 'INPUT_INVALID' });
    expect((await send(JSON.stringify({ name: 'x'.repeat(5000) }))).statusCode).toBe(413);
  });

  test('an unknown path', async () => {
    const { app } = await serve(answers);
    const response = await app.inject(as('admin', { url: '/api/v1/machine' }));
    expect(response.statusCode).toBe(404);
    expect(response.json()).toMatchObject({ code: 'NOT_FOUND', message: 'There is no GET /api/v1/machine.' });
  });
});

describe('errors', () => {
  test.each(Object.keys(ERROR_CODES) as ErrorCode[])('%s has its status and travels whole', async (code) => {
    const failure = new OverdubError(code, 'what', 'next', { plugin: 'p', hook: 'h' });
    const { app } = await serve({ getMachine: () => Promise.reject(failure) });
    const response = await app.inject(as('viewer', { url: '/api/v1/machines/m1' }));
    expect(response.statusCode).toBe(HTTP_STATUS[code]);
    expect(response.json()).toEqual({ code, message: 'what', remedy: 'next', plugin: 'p', hook: 'h' });
  });

  test('what nobody expected is INTERNAL, without a stack', async () => {
    const { app } = await serve({ getMachine: () => Promise.reject(new TypeError('x is undefined')) });
    const response = await app.inject(as('viewer', { url: '/api/v1/machines/m1' }));
    expect(response.statusCode).toBe(500);
    expect(response.json()).toMatchObject({ code: 'INTERNAL' });
    expect(response.body).not.toContain('api.test');
  });

  test('a stream that fails at once is an ordinary error, later a last line', async () => {
    const gone = new OverdubError('NOT_FOUND', 'no snapshot', '');
    const damaged = new OverdubError('REPOSITORY_DAMAGED', 'bad page', '');
    const failing = async function* (error: Error, ...first: Entry[]) {
      yield* first;
      throw error;
    };
    const { app } = await serve({
      listFiles: (ref) => (ref === 'a@1' ? failing(gone) : failing(damaged, records.entry)),
    });
    const early = await app.inject(as('viewer', { url: '/api/v1/images/a@1/files' }));
    expect(early.statusCode).toBe(404);
    const late = await app.inject(as('viewer', { url: '/api/v1/images/b@1/files' }));
    const lines = late.body
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toEqual([records.entry, { error: damaged.toJSON() }]);
  });
});

describe('answers', () => {
  test('names that are not UTF-8 survive', async () => {
    const odd = { ...records.entry, path: 'etc/\udce9t\udce9' };
    const { app } = await serve({ listFiles: () => stream(odd) });
    const response = await app.inject(as('viewer', { url: '/api/v1/images/a@1/files' }));
    expect(JSON.parse(response.body)).toEqual(odd);
  });

  test('file content comes with its length and its entry', async () => {
    const { app } = await serve(answers);
    const response = await app.inject(as('operator', { url: '/api/v1/images/web@3/content?path=etc/motd' }));
    expect(response.body).toBe('hello\n');
    expect(response.headers['content-length']).toBe('6');
    expect(response.headers['content-type']).toBe('application/octet-stream');
    const header = JSON.parse(Buffer.from(String(response.headers['overdub-entry']), 'base64url').toString());
    expect(header).toEqual({
      path: 'etc/motd',
      type: 'file',
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtimeNs: records.entry.mtimeNs,
      bytes: 6,
      digest: records.content.digest,
    });
  });

  test('a directory has no content', async () => {
    const { content: _, ...bare } = records.entry;
    const { app } = await serve({
      readFile: async () => ({ entry: { ...bare, type: 'directory' }, content: stream() }),
    });
    const response = await app.inject(as('operator', { url: '/api/v1/images/web@3/content?path=etc' }));
    expect(response.json()).toMatchObject({ code: 'INPUT_INVALID' });
  });

  test('an operation never shows its memory', async () => {
    const { app } = await serve(answers);
    for (const url of ['/operations', '/operations/op1']) {
      expect((await app.inject(as('viewer', { url: `/api/v1${url}` }))).body).not.toContain('SECRET');
    }
  });

  test('waiting ends with the operation, or with the time', async () => {
    const done: Operation = { ...records.operation, state: 'done' };
    let state = records.operation;
    const { app } = await serve({
      getOperation: async () => state,
      waitOperation: async (id, { signal }) => {
        if (id === 'slow') await clock.sleep(10_000, signal);
        else await clock.sleep(20);
        state = done;
        return done;
      },
    });
    const slow = await app.inject(as('viewer', { url: '/api/v1/operations/slow?wait=0.05' }));
    expect(slow.json().state).toBe('running');
    const quick = await app.inject(as('viewer', { url: '/api/v1/operations/quick?wait=30' }));
    expect(quick.json().state).toBe('done');
  });

  test('events arrive as they happen, and end with the appliance', async () => {
    const { app } = await serve({ events: () => stream(records.event) });
    const response = await app.inject(as('viewer', { url: '/api/v1/events' }));
    expect(response.headers['content-type']).toBe('text/event-stream');
    expect(response.body).toContain(
      `id: e1\nevent: snapshot.committed\ndata: ${JSON.stringify(records.event)}\n\n`,
    );
  });
});

describe('OpenAPI', () => {
  test('describes every route, with or without a prefix of the server’s own', async () => {
    for (const prefix of [undefined, '/api']) {
      const { app } = await serve(answers, prefix);
      const document = (await app.inject({ url: '/api/v1/openapi.json' })).json();
      expect(document.openapi).toBe('3.1.0');
      const described = Object.entries(document.paths).flatMap(([path, verbs]) =>
        Object.keys(verbs as object).map((verb) => `${verb.toUpperCase()} ${path}`),
      );
      expect(described).toContain('POST /api/v1/servers/{server}/rollback');
      for (const [, method, url] of CASES) {
        const path = `/api/v1${url.split('?')[0]}`;
        const matches = described.filter((each) => {
          const [verb, template] = each.split(' ') as [string, string];
          return verb === method && new RegExp(`^${template.replace(/\{[^}]+\}/g, '[^/]+')}$`).test(path);
        });
        expect(matches, `${method} ${path}`).not.toEqual([]);
      }
      expect(document.components.schemas.Machine.properties.macs).toBeDefined();
    }
  });

  test.each([
    ['Machine', records.machine satisfies Machine],
    ['Master', records.master satisfies Master],
    ['Server', records.server satisfies Server],
    ['Snapshot', records.snapshot satisfies Snapshot],
    ['Operation', records.operation satisfies Operation],
    ['Entry', records.entry satisfies Entry],
    ['DiffEntry', records.change],
  ] as const)('the schema of %s fits the record', (name, record) => {
    const schema: TSchema = RECORDS[name];
    expect(Value.Errors(schema, record)).toEqual([]);
    expect(
      Object.keys(record).filter((key) => !(key in (schema as unknown as { properties: object }).properties)),
    ).toEqual([]);
  });
});

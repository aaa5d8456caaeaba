import type { InjectOptions } from 'fastify';
import { afterEach, describe, expect, test } from 'vitest';
import * as records from './testing/records.ts';
import { answers, as, closeAll, serve } from './testing/serve.ts';

afterEach(closeAll);

type Case = readonly [
  role: string,
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  url: string,
  payload: object | undefined,
  call: string,
  args: readonly unknown[],
];
const by = (role: string) => `${role}-token`;

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
  ['viewer', 'GET', '/machines/m1/power', undefined, 'powerMachine', ['m1', 'status', by('viewer')]],
  [
    'operator',
    'POST',
    '/machines/m1/power',
    { action: 'cycle' },
    'powerMachine',
    ['m1', 'cycle', by('operator')],
  ],
  ['admin', 'DELETE', '/machines/m1', undefined, 'forgetMachine', ['m1', by('admin')]],
  [
    'admin',
    'POST',
    '/masters',
    { name: 'web', source: '/srv/web' },
    'importMaster',
    [{ name: 'web', source: '/srv/web' }, by('admin')],
  ],
  ['operator', 'POST', '/repository/optimise', undefined, 'optimise', [by('operator')]],
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
  [
    'operator',
    'POST',
    '/repository/gc',
    { dryRun: true },
    'collectGarbage',
    [{ dryRun: true }, by('operator')],
  ],
  ['viewer', 'GET', '/repository/stats', undefined, 'repositoryUsage', []],
  [
    'operator',
    'POST',
    '/repository/repair',
    { readData: true },
    'repairRepository',
    [{ readData: true }, by('operator')],
  ],
  [
    'operator',
    'POST',
    '/repository/verify',
    { readData: true, samplePercent: 5 },
    'verifyRepository',
    [{ readData: true, samplePercent: 5 }, by('operator')],
  ],
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
});

import { type ApplianceControl, type Machine, OverdubError } from '@overdub/core';
import Fastify from 'fastify';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as records from '../../../plugins/api-http/testing/records.ts';
import { appliance, setUp, tearDown } from './harness.ts';

beforeEach(setUp);
afterEach(tearDown);

describe('lists', () => {
  const lists: Partial<ApplianceControl> = {
    listMachines: async () => [records.machine],
    getMachine: async () => records.machine,
    listMasters: async () => [records.master],
    getMaster: async () => records.master,
    listServers: async () => [records.server],
    getServer: async () => records.server,
    listSnapshots: async () => [records.snapshot],
    resolveSnapshot: async () => records.snapshot,
    listOperations: async () => [records.operation],
    getOperation: async () => records.operation,
    listTokens: async () => [{ id: 't1', name: 'ci', role: 'viewer', createdAt: '2026-11-22T12:00:00Z' }],
    createToken: async (request) => ({
      id: 't1',
      createdAt: '2026-11-22T12:00:00Z',
      ...request,
      secret: 'SECRET',
    }),
    info: async () => ({
      version: '0.1.0',
      startedAt: '2026-11-22T12:00:00Z',
      plugins: [{ name: 'api-http', state: 'running', optional: false }],
      state: '/var/lib/overdub',
      repository: {
        chunks: 7,
        logicalBytes: 1000,
        storedBytes: 100,
        packs: 1,
        byForm: { whole: { chunks: 7, logicalBytes: 1000, storedBytes: 100 } },
      },
    }),
    repositoryUsage: async () => records.usage,
  };

  test.each([
    ['machine list', '52:54:00:0d:0b:01  held'],
    ['machine show m1', 'vda 6.4 GB virtio A'],
    ['master list', 'web@3'],
    ['master show web', '6.1.0-1'],
    ['server list', 'running'],
    ['server show web-1', 'every 900 s, jitter 60 s'],
    ['snapshot list web-1', 'application'],
    ['snapshot show web-1@latest', 'run (pseudo-filesystem)'],
    ['operation list', 'rollback'],
    ['operation show op1', 'enter-ramdisk'],
    ['token list', 'viewer'],
    ['token create ci --role viewer', 'SECRET'],
    ['stats', '240 MB'],
    ['plugin list --running', 'api-http  running  required'],
  ])('overdub %s, and as JSON', async (line, expected) => {
    const { overdub } = await appliance(lists);
    const text = await overdub(...line.split(' '));
    expect(text).toMatchObject({ code: 0, err: '' });
    expect(text.out).toContain(expected);
    const json = await overdub(...line.split(' '), '--json');
    expect(JSON.parse(json.out)).toBeTypeOf('object');
  });
});

describe('a machine whose assignment has passed on', () => {
  const reason = 'held: it carries assignment 1 of web-1, which is at 2 now';
  const stale: Machine = {
    ...records.machine,
    admission: 'accepted',
    admissionReason: reason,
    serverName: 'web-1',
    generation: 1,
  };
  const fresh: Machine = { ...stale, name: 'machine-0d0b02', admissionReason: 'accepted by ann' };
  const lineOf = (out: string, name: string) => out.split('\n').find((line) => line.includes(name));

  test('is held in the list, with the reason; others are as they were admitted', async () => {
    const { overdub } = await appliance({ listMachines: async () => [stale, fresh] });
    const { out } = await overdub('machine', 'list');
    expect(lineOf(out, stale.name)).toContain(`  ${reason}  web-1`);
    expect(lineOf(out, stale.name)).not.toContain('accepted');
    expect(lineOf(out, fresh.name)).toMatch(/ {2}accepted +web-1/);
    expect(lineOf(out, fresh.name)).not.toContain('by ann');
  });

  test('is held in its details, and not in one breath accepted', async () => {
    const { overdub } = await appliance({ getMachine: async () => stale });
    expect(lineOf((await overdub('machine', 'show', stale.name)).out, 'admission')).toMatch(
      new RegExp(`^admission +${reason}$`),
    );
  });

  test('that carries nothing any more shows its admission', async () => {
    const { serverName: _released, generation: _its, ...free } = stale;
    const { overdub } = await appliance({ listMachines: async () => [free] });
    expect(lineOf((await overdub('machine', 'list')).out, free.name)).toMatch(/ {2}accepted +-/);
  });

  test('keeps both facts in JSON', async () => {
    const { overdub } = await appliance({ listMachines: async () => [stale] });
    const { out } = await overdub('machine', 'list', '--json');
    expect(JSON.parse(out)).toEqual([stale]);
  });
});

describe('mistakes', () => {
  test.each([
    [['machine', 'lst'], 2, 'Did you mean `overdub machine list`'],
    [['rollback', 'web-1'], 2, 'either --to SNAPSHOT or --before TIME'],
    [['rollback', 'web-1', '--to', 'a', '--before', 'b'], 2, 'either --to'],
    [['rollback', '--to', 'latest'], 2, 'SERVER is missing'],
    [['rollback', 'web-1', 'web-2', '--to', 'latest'], 2, '`web-2` is one argument too many'],
    [['rollback', 'web-1', '--ot', 'latest'], 2, 'Did you mean --to?'],
    [['rollback', 'web-1', '--to'], 2, '--to'],
    [['server', 'create', 'a', '--every', 'soon'], 2, 'no duration'],
    [['server', 'create', 'a', '--jitter', '5s'], 2, '--jitter needs --every'],
    [['server', 'create', 'a', '--keep-last', '-1'], 2, ''],
    [['server', 'create', 'a', '--compression', 'best'], 2, '`best` is no compression: small, fast.'],
    [['server', 'set', 'a'], 2, 'nothing to change'],
    [['snapshot', 'show', 'web-1'], 2, 'SERVER@SNAPSHOT'],
    [['snapshot', 'show', 'web-1@2026-02-30'], 2, 'no time of the calendar'],
    [['token', 'create', 'x', '--role', 'root'], 2, 'no role'],
    [['machine', 'label', 'm1', 'rack'], 2, 'KEY=VALUE'],
    [['machine', 'list', '--url', 'ftp://x'], 1, 'INPUT_INVALID'],
    [['machine', 'list', '--url', 'http://127.0.0.1:1'], 1, 'APPLIANCE_UNREACHABLE'],
    [['machine', 'list', '--token', 'wrong'], 1, 'UNAUTHORIZED'],
  ])('overdub %j is exit code %d', async (args, code, message) => {
    const { overdub } = await appliance({});
    const result = await overdub(...args);
    expect(result).toMatchObject({ code, out: '' });
    expect(result.err).toContain(message);
  });

  test('an error of the appliance keeps code and remedy, also as JSON', async () => {
    const failure = new OverdubError('NOT_FOUND', 'There is no server web-9.', 'overdub server list');
    const { overdub } = await appliance({ getServer: () => Promise.reject(failure) });
    expect((await overdub('server', 'show', 'web-9')).err).toBe(
      'NOT_FOUND: There is no server web-9.\n→ overdub server list\n',
    );
    expect(JSON.parse((await overdub('server', 'show', 'web-9', '--json')).err)).toEqual({
      error: failure.toJSON(),
    });
  });

  test('something else that answers there is told apart', async () => {
    const other = Fastify();
    const url = await other.listen({ host: '127.0.0.1', port: 0 });
    const { overdub } = await appliance({});
    expect((await overdub('machine', 'list', '--url', url)).err).toContain('no appliance with api-http');
    await other.close();
  });
});

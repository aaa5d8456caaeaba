/** The CLI against the real HTTP API: what is asked of the appliance, what is printed, exit codes. */

import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ApplianceControl, type Operation, OverdubError } from '@overdub/core';
import Fastify, { type FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runCli } from '../../core/cli/dispatch.ts';
import type { Environment } from '../../core/cli/environment.ts';
import { registerApi } from '../../plugins/api-http/api.ts';
import { fakeControl } from '../../plugins/api-http/testing/fake-control.ts';
import * as records from '../../plugins/api-http/testing/records.ts';

const log = { debug() {}, info() {}, warn() {}, error() {} };
const clock = {
  now: () => 0,
  sleep: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
};
const done: Operation = {
  ...records.operation,
  state: 'done',
  endedAt: '2026-11-22T12:45:04.000Z',
  result: { bytesReceived: 1234 },
};
const NOW = Date.parse('2026-11-22T13:00:00Z');

let folder: string;
let app: FastifyInstance | undefined;
beforeEach(async () => {
  process.env.TZ = 'Europe/Berlin';
  folder = await mkdtemp(join(tmpdir(), 'overdub-cli-'));
});
afterEach(async () => {
  await app?.close();
  app = undefined;
  await rm(folder, { recursive: true, force: true });
});

async function appliance(answers: Partial<ApplianceControl>, role = 'admin') {
  const fake = fakeControl(answers);
  app = Fastify({ forceCloseConnections: true });
  const signal = new AbortController().signal;
  await registerApi(app, {
    control: () => fake.control,
    log,
    clock,
    signal,
    openapi: false,
    maxBodyBytes: 4096,
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const overdub = async (...args: string[]) => {
    const printed = { out: '', err: '', bytes: [] as Uint8Array[] };
    const environment: Environment = {
      cwd: folder,
      variables: { OVERDUB_URL: url, OVERDUB_TOKEN: `${role}-secret` },
      out: (text) => {
        printed.out += text;
      },
      outBytes: async (bytes) => void printed.bytes.push(bytes),
      err: (text) => {
        printed.err += text;
      },
      interactive: false,
      signal,
      now: () => NOW,
    };
    const code = await runCli(args, environment);
    return { code, out: printed.out, err: printed.err, bytes: Buffer.concat(printed.bytes) };
  };
  return { overdub, calls: fake.calls, url };
}

const stream = async function* <T>(...values: T[]) {
  yield* values;
};
const started: Partial<ApplianceControl> = {
  rollback: async () => records.operation,
  move: async () => records.operation,
  takeSnapshot: async () => records.operation,
  assignServer: async () => records.operation,
  importMaster: async () => records.operation,
  getOperation: async () => done,
  waitOperation: async () => done,
};
const by = 'admin-token';

describe('what is asked', () => {
  test.each<[string[], string, unknown[]]>([
    [
      ['rollback', 'web-1', '--to', '12:45'],
      'rollback',
      [{ server: 'web-1', to: '2026-11-22T12:45:00+01:00' }, by],
    ],
    [
      [
        'rollback',
        'web-1',
        '--before',
        '12:58',
        '--dry-run',
        '--keep',
        '/srv/',
        '--only',
        'etc',
        '--no-safety-snapshot',
      ],
      'rollback',
      [
        {
          server: 'web-1',
          to: '2026-11-22T12:58:00+01:00',
          strictlyBefore: true,
          dryRun: true,
          keep: ['srv'],
          only: ['etc'],
          safetySnapshot: false,
        },
        by,
      ],
    ],
    [['move', 'web-1', '--to', 'machine-2'], 'move', [{ server: 'web-1', machine: 'machine-2' }, by]],
    [['snapshot', 'take', 'web-1'], 'takeSnapshot', ['web-1', by]],
    [['server', 'assign', 'web-1', 'm1'], 'assignServer', ['web-1', 'm1', by]],
    [
      ['master', 'import', 'web', 'images/web.tar'],
      'importMaster',
      [{ name: 'web', source: 'HERE/images/web.tar' }, by],
    ],
  ])('overdub %j', async (args, method, expected) => {
    const { overdub, calls } = await appliance(started);
    const { code, out, err } = await overdub(...args);
    expect({ code, err: err.includes('NTERNAL') }).toEqual({ code: 0, err: false });
    expect(out).toContain('rollback of web-1 done in 4.0 s');
    expect(JSON.parse(JSON.stringify(calls[0]).replaceAll(folder, 'HERE'))).toEqual({
      method,
      args: expected,
    });
  });

  test('server create gathers schedule, retention, excludes and address', async () => {
    const { overdub, calls } = await appliance({ createServer: async () => records.server });
    const flags =
      '--master web@3 --every 15m --keep-last 3 --keep-within 2h --exclude var/cache/** --exclude tmp/** --address 10.0.0.5';
    expect(await overdub('server', 'create', 'web-1', ...flags.split(' '))).toMatchObject({ code: 0 });
    expect(calls[0]?.args[0]).toEqual({
      name: 'web-1',
      master: 'web@3',
      schedule: { everySeconds: 900, jitterSeconds: 90 },
      retention: { last: 3, withinSeconds: 7200 },
      excludes: ['var/cache/**', 'tmp/**'],
      address: '10.0.0.5',
    });
  });

  test('machine commands', async () => {
    const answer = async () => records.machine;
    const { overdub, calls } = await appliance({
      acceptMachine: answer,
      getMachine: answer,
      labelMachine: answer,
      renameMachine: answer,
    });
    await overdub('machine', 'accept', '52:54:00:0d:0b:01');
    await overdub('machine', 'label', 'm1', 'rack=3', 'row=');
    await overdub('machine', 'rename', 'm1', 'rack3-07');
    const asked = calls
      .filter(({ method }) => method !== 'getMachine')
      .map(({ method, args }) => [method, ...args]);
    expect(asked).toEqual([
      ['acceptMachine', '52:54:00:0d:0b:01', by],
      ['labelMachine', 'm1', { rack: '3', row: null }, by],
      ['renameMachine', 'm1', 'rack3-07', by],
    ]);
  });

  test('snapshots are pinned by reference', async () => {
    const { overdub, calls } = await appliance({ pinSnapshot: async () => records.snapshot });
    await overdub('snapshot', 'pin', 'web-1@~2');
    expect(calls[0]?.args).toEqual(['web-1', '~2', true, by]);
  });
});

describe('operations', () => {
  test('--json prints the operation as it ended, and nothing else', async () => {
    const { overdub } = await appliance(started);
    const { out, err } = await overdub('snapshot', 'take', 'web-1', '--json');
    expect(JSON.parse(out)).toMatchObject({ id: 'op1', state: 'done', result: { bytesReceived: 1234 } });
    expect(err).toBe('');
  });

  test('--no-wait prints it as it began', async () => {
    const { overdub, calls } = await appliance(started);
    const { code, out } = await overdub('snapshot', 'take', 'web-1', '--no-wait');
    expect(code).toBe(0);
    expect(out).toContain('overdub operation show op1');
    expect(calls.map(({ method }) => method)).toEqual(['takeSnapshot']);
  });

  test('a failed one is exit code 1 with its own error', async () => {
    const error = { code: 'AGENT_LOST', message: 'web-1 went away', remedy: 'power-cycle it' };
    const failed: Operation = { ...done, state: 'failed', error };
    const { overdub } = await appliance({ ...started, getOperation: async () => failed });
    const { code, err } = await overdub('snapshot', 'take', 'web-1');
    expect(code).toBe(1);
    expect(err).toContain('AGENT_LOST: web-1 went away\n→ power-cycle it');
  });

  test('steps and attention are shown on the way', async () => {
    const waiting: Operation = { ...records.operation, state: 'waiting', attention: 'power-cycle machine-1' };
    const states = [waiting, done];
    const { overdub } = await appliance({
      ...started,
      getOperation: async () => states.shift() ?? done,
      waitOperation: async () => done,
    });
    const { code, err } = await overdub('move', 'web-1', '--to', 'm2');
    expect(code).toBe(0);
    expect(err).toContain('rollback of web-1: restore\n');
  });

  test('a dry run lists what would change', async () => {
    const ended = { ...done, result: { dryRun: true, changes: [{ path: 'etc/motd', action: 'write' }] } };
    const { overdub } = await appliance({ ...started, getOperation: async () => ended });
    expect((await overdub('rollback', 'web-1', '--to', 'latest', '--dry-run')).out).toContain(
      'write    /etc/motd',
    );
  });
});

describe('looking', () => {
  const changed = {
    path: 'etc/motd',
    change: 'content' as const,
    before: records.entry,
    after: { ...records.entry, content: { ...records.content, bytes: 8 } },
  };
  const texts: Partial<ApplianceControl> = {
    diff: () => stream(changed, records.change),
    readFile: async (ref) => {
      const text = ref.includes('~1') ? 'hello\n' : 'goodbye\n';
      return {
        entry: { ...records.entry, content: { ...records.content, bytes: text.length } },
        content: stream(Buffer.from(text)),
      };
    },
  };

  test('diff lists changes and shows the text of small files', async () => {
    const { overdub, calls } = await appliance(texts);
    const { code, out } = await overdub('diff', 'web-1@~1', 'web-1@12:45');
    expect(code).toBe(0);
    expect(out).toBe(
      'M /etc/motd  6 B → 8 B\n    @@ -1,1 +1,1 @@\n    -hello\n    +goodbye\nA /etc/motd  6 B\n1 content, 1 added\n',
    );
    expect(calls[0]?.args).toEqual(['web-1@~1', 'web-1@2026-11-22T12:45:00+01:00']);
  });

  test('a viewer gets the list without texts, and is told why', async () => {
    const { overdub } = await appliance(texts, 'viewer');
    const { code, out, err } = await overdub('diff', 'web-1@~1', 'web-1@latest');
    expect({ code, out }).toEqual({
      code: 0,
      out: 'M /etc/motd  6 B → 8 B\nA /etc/motd  6 B\n1 content, 1 added\n',
    });
    expect(err).toContain('operator');
  });

  test('diff --json is one document, also when empty', async () => {
    const full = await appliance(texts);
    expect(JSON.parse((await full.overdub('diff', 'a@1', 'b@1', '--json')).out)).toHaveLength(2);
    await app?.close();
    const empty = await appliance({ diff: () => stream() });
    expect(JSON.parse((await empty.overdub('diff', 'a@1', 'b@1', '--json')).out)).toEqual([]);
  });

  test('a stream that breaks is an error with exit code 1', async () => {
    const failing = async function* () {
      yield records.change;
      throw new OverdubError('REPOSITORY_DAMAGED', 'page ab does not match', 'overdub verify');
    };
    const { overdub } = await appliance({ diff: failing });
    const { code, err } = await overdub('diff', 'a@1', 'b@1', '--no-text');
    expect(code).toBe(1);
    expect(err).toContain('REPOSITORY_DAMAGED');
  });

  test('cat writes the very bytes', async () => {
    const bytes = Buffer.from([0, 255, 10, 13]);
    const entry = { ...records.entry, content: { ...records.content, bytes: 4 } };
    const { overdub, calls } = await appliance({ readFile: async () => ({ entry, content: stream(bytes) }) });
    expect((await overdub('cat', 'web-1@12:45', '/etc/motd')).bytes).toEqual(bytes);
    expect(calls[0]?.args).toEqual(['web-1@2026-11-22T12:45:00+01:00', 'etc/motd']);
    const json = JSON.parse((await overdub('cat', 'web-1@latest', '/etc/motd', '--json')).out);
    expect(Buffer.from(json.base64, 'base64')).toEqual(bytes);
  });

  test('restore-file brings bytes, mode and time, and overwrites only when told to', async () => {
    const entry = { ...records.entry, mode: 0o4755, mtimeNs: '1763815500123456789' };
    const { overdub } = await appliance({
      readFile: async () => ({ entry, content: stream(Buffer.from('hello\n')) }),
    });
    expect((await overdub('restore-file', 'web-1@latest', '/etc/motd')).code).toBe(0);
    const made = await stat(join(folder, 'motd'));
    expect(made.mode & 0o7777).toBe(0o755);
    expect(Math.round(made.mtimeMs)).toBe(1763815500123);
    await writeFile(join(folder, 'motd'), 'mine');
    const refused = await overdub('restore-file', 'web-1@latest', '/etc/motd');
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('CONFLICT') });
    expect(await readFile(join(folder, 'motd'), 'utf8')).toBe('mine');
    expect((await overdub('restore-file', 'web-1@latest', '/etc/motd', '--force')).code).toBe(0);
    expect(await readFile(join(folder, 'motd'), 'utf8')).toBe('hello\n');
  });

  test('log tells where a path changed', async () => {
    const { overdub, calls } = await appliance({
      log: () => stream({ snapshot: records.snapshot, change: 'content' as const, after: records.entry }),
    });
    expect((await overdub('log', 'web-1', '/etc/motd')).out).toContain('cdcdcdcdcdcdcdcd');
    expect(calls[0]?.args).toEqual(['web-1', 'etc/motd']);
  });
});

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
    ['stats', '1.0 kB in 7 chunks'],
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

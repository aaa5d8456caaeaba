import type { Operation } from '@overdub/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as records from '../../../plugins/api-http/testing/records.ts';
import { appliance, by, done, here, setUp, started, tearDown } from './harness.ts';

beforeEach(setUp);
afterEach(tearDown);

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
    [['gc', '--dry-run'], 'collectGarbage', [{ dryRun: true }, by]],
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
    expect(JSON.parse(JSON.stringify(calls[0]).replaceAll(here(), 'HERE'))).toEqual({
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

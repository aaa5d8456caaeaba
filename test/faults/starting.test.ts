/** An appliance that cannot start: it says why and what to do, exits with 1, and leaves nothing half-made. */

import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { snapshotDirectory } from './agent.ts';
import { Appliance, configure, expectFailure, overdub, PLUGINS } from './overdub.ts';
import { isRoot, Room } from './room.ts';
import { digestsOf, expectWhole, makeTree } from './trees.ts';

let room: Room;
beforeEach(async () => {
  room = await Room.open();
});
afterEach(() => room.close());

const up = (config: string, state = room.path('state')) =>
  overdub(room, ['up', '--config', config, '--state', state]);

describe('a wrong configuration key', () => {
  test('of the file is named with the right one; nothing is made', async () => {
    const config = await configure(room, { repositry: 'file:///nowhere' });
    const words = { says: /overdub\.config\.json.*`repositry`.*`repository`/, helps: /./ };
    expectFailure(await up(config), 'CONFIG_INVALID', words);
    expectFailure(await overdub(room, ['config', 'check', config]), 'CONFIG_INVALID', words);
    expect(existsSync(room.path('state'))).toBe(false);
  });

  test('of a plugin is named with plugin and the right one; nothing is made', async () => {
    const plugins = [...PLUGINS, { plugin: 'boot-pxe', options: { interfce: 'lo' } }];
    const config = await configure(room, { plugins });
    const words = { says: /boot-pxe.*`interfce`.*`interface`/, helps: /./ };
    expectFailure(await up(config), 'CONFIG_INVALID', words);
    expectFailure(await overdub(room, ['config', 'check', config]), 'CONFIG_INVALID', words);
    expect(existsSync(room.path('state'))).toBe(false);
  });

  test('of a plugin’s value says what is allowed', async () => {
    const plugins = [...PLUGINS, { plugin: 'boot-pxe', options: { mode: 'prxy' } }];
    const words = { says: /boot-pxe.*mode.*(proxy|server)/, helps: /./ };
    expectFailure(await up(await configure(room, { plugins })), 'CONFIG_INVALID', words);
  });

  test('in a running appliance’s file leaves the running one and its data alone', async () => {
    const config = await configure(room);
    const appliance = await Appliance.up(room, { config });
    await appliance.ask('server', 'create', 'web-1');
    const { url, token } = appliance;
    const root = await makeTree(room.path('root'));
    await snapshotDirectory({ url, token, server: 'web-1', root, own: room.path('agent') });
    const wrong = await configure(room, { repositry: 'x' }, 'wrong.json');
    expectFailure(await up(wrong), 'CONFIG_INVALID', { says: 'repositry', helps: /./ });
    await expectWhole(appliance, 'web-1@latest', await digestsOf(root));
  });

  test('of the command line is a usage error, exit code 2', async () => {
    const ended = await overdub(room, ['up', '--stat', room.path('state')]);
    expect(ended).toMatchObject({ code: 2, error: { code: 'INPUT_INVALID' } });
    expect(ended.error?.message).toMatch(/--stat .*--state/);
    expect(existsSync(room.path('state'))).toBe(false);
  });
});

describe('an unwritable state directory', () => {
  const words = (directory: string) => ({ says: directory, helps: /--state/ });

  test('below a regular file', async () => {
    await writeFile(room.path('file'), 'mine');
    const state = room.path('file', 'state');
    expectFailure(await up(await configure(room), state), 'STATE_UNWRITABLE', words(state));
  });

  test.skipIf(!isRoot)('on a file system that is mounted read-only (needs root)', async () => {
    const state = await room.mount('read-only', ['-t', 'tmpfs', '-o', 'ro']);
    expectFailure(await up(await configure(room), state), 'STATE_UNWRITABLE', words(state));
    expect(await readdir(state)).toEqual([]);
  });

  test.skipIf(!isRoot)(
    'that became read-only: what it holds is whole when it is writable again (needs root)',
    async () => {
      const state = await room.mount('state', ['-t', 'tmpfs', '-o', 'size=32m']);
      const config = await configure(room);
      const first = await Appliance.up(room, { config, state });
      await first.ask('server', 'create', 'web-1');
      const root = await makeTree(room.path('root'));
      const { url, token } = first;
      await snapshotDirectory({ url, token, server: 'web-1', root, own: room.path('agent') });
      await first.kill();
      const { execFileSync } = await import('node:child_process');
      execFileSync('mount', ['-o', 'remount,ro', state]);
      expectFailure(await up(config, state), 'STATE_UNWRITABLE', words(state));
      execFileSync('mount', ['-o', 'remount,rw', state]);
      const second = await Appliance.up(room, { config, state, token });
      await expectWhole(second, 'web-1@latest', await digestsOf(root));
    },
  );

  test('that another appliance uses: the other one is named and goes on', async () => {
    const config = await configure(room);
    const appliance = await Appliance.up(room, { config });
    const ended = await up(config);
    expectFailure(ended, 'STATE_LOCKED', { says: `process ${appliance.child.pid}`, helps: /Stop/ });
    expect(await appliance.ask('server', 'list')).toEqual([]);
  });

  test('whose repository lies on something unwritable', async () => {
    await writeFile(room.path('file'), 'mine');
    await mkdir(room.path('state'));
    const config = await configure(room, { repository: `file://${room.path('file', 'repository')}` });
    expectFailure(await up(config), 'STATE_UNWRITABLE', { says: room.path('file'), helps: /./ });
  });
});

test('a taken TCP port is named; the state directory is free again', async () => {
  const blocker = createServer().listen(0, '127.0.0.1');
  room.defer(() => void blocker.close());
  await new Promise((resolve) => blocker.once('listening', resolve));
  const { port } = blocker.address() as { port: number };
  const config = await configure(room, { http: { host: '127.0.0.1', port } });
  const words = { says: `127.0.0.1 port ${port}`, helps: /http\.port/ };
  expectFailure(await up(config), 'PORT_UNAVAILABLE', words);
  const appliance = await Appliance.up(room, { config: await configure(room) });
  expect(appliance.token).not.toBe('');
});

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandIo } from '@overdub/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { directoryCommands } from './directory.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'overdub-door-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

function run(command: string, args: readonly string[], over: Partial<CommandIo> = {}): Promise<number> {
  const found = directoryCommands.find((one) => one.path.join(' ') === `agent ${command}`);
  if (found === undefined) throw new Error(`no command ${command}`);
  const io: CommandIo = {
    json: false,
    print: () => undefined,
    error: () => undefined,
    url: 'http://127.0.0.1:9',
    token: 'token',
    signal: new AbortController().signal,
    ...over,
  };
  return found.run(args, io);
}

describe('the directory door', () => {
  it('refuses to restore or roll back /', async () => {
    for (const command of ['restore', 'rollback']) {
      await expect(run(command, ['--root', '/', '--server', 'web-1'])).rejects.toMatchObject({
        code: 'INPUT_INVALID',
        message: expect.stringContaining('does not work on /'),
      });
    }
    await expect(run('rollback', ['--root', '/tmp/..', '--server', 'web-1'])).rejects.toThrow(
      /does not work on \//,
    );
  });

  it('refuses a state directory inside the root', async () => {
    const args = ['--root', root, '--server', 'web-1', '--state', join(root, 'state')];
    await expect(run('snapshot', args)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining('lies inside'),
    });
  });

  it('says what is missing or wrong', async () => {
    await expect(run('snapshot', ['--server', 'web-1'])).rejects.toThrow(/--root is missing/);
    await expect(run('snapshot', ['--root', root])).rejects.toThrow(/--server is missing/);
    await expect(run('snapshot', ['--root', root, '--server', '../x'])).rejects.toThrow(/no server name/);
    await expect(run('snapshot', ['--root', join(root, 'none'), '--server', 'web-1'])).rejects.toThrow(
      /no directory/,
    );
    await expect(run('snapshot', ['--rot', root])).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  it.each(['', '10.0.0.1:7077', 'ftp://10.0.0.1', 'http://'])(
    'says that this is no address: %j',
    async (url) => {
      const args = ['--root', root, '--server', 'web-1', '--state', `${root}-state`];
      await expect(run('snapshot', args, { url })).rejects.toMatchObject({
        code: 'INPUT_INVALID',
        message: `${JSON.stringify(url)} is not an address of an appliance.`,
      });
    },
  );

  it('names the token’s variable when it is not set; the address has a default', async () => {
    const args = ['--root', root, '--server', 'web-1', '--state', `${root}-state`];
    const bare = {
      json: false,
      print: () => undefined,
      error: () => undefined,
      signal: new AbortController().signal,
    };
    const command = directoryCommands[0];
    await expect(command?.run(args, bare)).rejects.toThrow(/OVERDUB_TOKEN is not set/);
    // Past the address, to what this bare command has not either.
    await expect(command?.run(args, { ...bare, token: 'token' })).rejects.toMatchObject({
      code: 'DRIVER_MISSING',
    });
  });
});

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Type } from 'typebox';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ApplianceConfig } from '../contracts/config.ts';
import type { CommandIo } from '../contracts/context.ts';
import { definePlugin } from '../plugin-host/plugin.ts';
import { runCli } from './dispatch.ts';
import type { Environment } from './environment.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'overdub-commands-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Ran {
  readonly args: readonly string[];
  readonly io: CommandIo;
  readonly stateDir: string;
}

function setUp(usage = 'overdub robot dance [--speed N]') {
  const ran: Ran[] = [];
  const robot = definePlugin({
    name: 'robot',
    apiVersion: '^1.0.0',
    options: Type.Object({}),
    apply: (ctx) => ({
      commands: [
        {
          path: ['robot', 'dance'],
          summary: 'Makes the robot dance',
          usage,
          examples: ['overdub robot dance --speed 3'],
          async run(args, io) {
            ran.push({ args, io, stateDir: ctx.stateDir });
            io.print('it danced');
            return 7;
          },
        },
      ],
    }),
  });
  return { ran, config: { plugins: [robot()] } as ApplianceConfig };
}

async function overdub(config: ApplianceConfig | (() => never), ...args: string[]) {
  const printed = { out: '', err: '' };
  const environment: Environment = {
    cwd: folder,
    variables: { OVERDUB_URL: 'http://10.0.0.1:7077', XDG_STATE_HOME: folder },
    out: (text) => {
      printed.out += text;
    },
    outBytes: async () => {},
    err: (text) => {
      printed.err += text;
    },
    interactive: false,
    signal: new AbortController().signal,
    now: () => 0,
    defaults: async () => (typeof config === 'function' ? config() : config),
  };
  return { code: await runCli(args, environment), ...printed };
}

describe('a plugin’s command', () => {
  test('runs without an appliance; its exit code is ours', async () => {
    const { ran, config } = setUp();
    const { code, out } = await overdub(config, 'robot', 'dance', '--speed', '3', 'fast');
    expect({ code, out }).toEqual({ code: 7, out: 'it danced\n' });
    expect(ran[0]?.args).toEqual(['--speed', '3', 'fast']);
    expect(ran[0]?.io).toMatchObject({ json: false, url: 'http://10.0.0.1:7077' });
    expect(ran[0]?.io.token).toBeUndefined();
  });

  test('does not see the options of the CLI itself', async () => {
    const { ran, config } = setUp();
    const state = join(folder, 'elsewhere');
    await overdub(
      config,
      'robot',
      'dance',
      '--json',
      '--token=secret',
      '--url',
      'http://x',
      '--state',
      state,
      '--speed',
      '1',
    );
    expect(ran[0]?.args).toEqual(['--speed', '1']);
    expect(ran[0]?.io).toMatchObject({ json: true, url: 'http://x', token: 'secret' });
    expect(ran[0]?.stateDir).toBe(join(state, 'plugins', 'robot'));
  });

  test('keeps those that its usage names as its own, and all after --', async () => {
    const { ran, config } = setUp('overdub robot dance --state DIR');
    await overdub(config, 'robot', 'dance', '--state', '/x', '--', '--json');
    expect(ran[0]?.args).toEqual(['--state', '/x', '--', '--json']);
  });

  test('has help from its own data, and is in the overview', async () => {
    const { ran, config } = setUp();
    const help = await overdub(config, 'robot', 'dance', '--help');
    expect(help).toMatchObject({ code: 0, out: expect.stringContaining('overdub robot dance --speed 3') });
    expect(ran).toEqual([]);
    expect((await overdub(config, '--help')).out).toContain('robot dance');
    expect((await overdub(config, 'robot')).code).toBe(2);
  });

  test('misspelt is exit code 2 with the right one', async () => {
    const { config } = setUp();
    const { code, err } = await overdub(config, 'robot', 'dence');
    expect(code).toBe(2);
    expect(err).toContain('Did you mean `overdub robot dance`?');
  });
});

describe('a configuration that cannot be loaded', () => {
  const broken = (): never => {
    throw new Error('the disk is gone');
  };

  test('fails plugins’ commands, and says why', async () => {
    expect(await overdub(broken, 'robot', 'dance')).toMatchObject({
      code: 1,
      err: expect.stringContaining('the disk is gone'),
    });
  });

  test('leaves the core’s commands and help alone', async () => {
    expect(await overdub(broken, 'machine', 'lst')).toMatchObject({
      code: 2,
      err: expect.stringContaining('machine list'),
    });
    const help = await overdub(broken, '--help');
    expect(help).toMatchObject({ code: 0, out: expect.stringContaining('not shown: the disk is gone') });
  });
});

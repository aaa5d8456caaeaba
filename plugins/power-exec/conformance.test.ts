import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Machine, PowerAction, PowerState } from '@overdub/core';
import { powerConformance } from '@overdub/core/testing';
import { describe, expect, test } from 'vitest';
import { commandPower } from './power.ts';

const machine = { id: 'm1', name: 'rack3-07', macs: ['52:54:00:00:00:01'] } as unknown as Machine;
const ALL: readonly PowerAction[] = ['on', 'off', 'cycle', 'status', 'netboot'];

/** A power strip as a script: keeps its state and its orders in files. */
async function strip() {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-power-'));
  const script = path.join(directory, 'strip');
  await writeFile(path.join(directory, 'state'), 'off\n');
  await writeFile(path.join(directory, 'orders'), '');
  await writeFile(
    script,
    `#!/bin/sh
cd ${directory}
echo "$1 $2 $3 $OVERDUB_ACTION $OVERDUB_MACHINE $OVERDUB_MAC" >> orders
case $1 in on|cycle) echo on > state ;; off) echo off > state ;; status) cat state ;; esac
`,
  );
  await chmod(script, 0o755);
  const lines = async (): Promise<string[]> =>
    (await readFile(path.join(directory, 'orders'), 'utf8')).split('\n').filter((line) => line !== '');
  return {
    directory,
    command: [script],
    lines,
    state: async () => (await readFile(path.join(directory, 'state'), 'utf8')).trim() as PowerState,
    close: () => rm(directory, { recursive: true, force: true }),
  };
}

powerConformance('power-exec', async () => {
  const { command, lines, state, close } = await strip();
  const power = commandPower(machine, { command, actions: ALL });
  if (power === undefined) throw new Error('not ours');
  let seen = 0;
  return {
    power,
    truth: state,
    orders: async () => {
      const all = (await lines()).map((line) => line.split(' ', 1)[0] as string);
      const fresh = all.slice(seen);
      seen = all.length;
      return fresh;
    },
    unreachable: commandPower(machine, { command: ['/nonexistent/strip'] }),
    cleanUp: close,
  };
});

describe('the command', () => {
  test('is told what and whom, as arguments and in its environment', async () => {
    const { command, lines, close } = await strip();
    try {
      await commandPower(machine, { command })?.on(AbortSignal.timeout(5000));
      expect(await lines()).toEqual(['on rack3-07 52:54:00:00:00:01 on rack3-07 52:54:00:00:00:01']);
    } finally {
      await close();
    }
  });

  test('that fails is quoted; one that hangs ends with the signal', async () => {
    const failing = commandPower(machine, { command: ['sh', '-c', 'echo no such outlet >&2; exit 3'] });
    await expect(failing?.on(AbortSignal.timeout(5000))).rejects.toThrow(/3: no such outlet/);
    const hanging = commandPower(machine, { command: ['sleep', '60'] });
    await expect(hanging?.on(AbortSignal.timeout(100))).rejects.toThrow();
  });

  test('sees none of the appliance’s secrets', async () => {
    process.env.OVERDUB_TOKEN = 'secret';
    try {
      const power = commandPower(machine, { command: ['sh', '-c', 'test -z "$OVERDUB_TOKEN"'] });
      await power?.on(AbortSignal.timeout(5000));
    } finally {
      delete process.env.OVERDUB_TOKEN;
    }
  });
});

test('a machine that is not listed is not ours', () => {
  expect(commandPower(machine, { command: ['true'], machines: ['rack3-08'] })).toBeUndefined();
});

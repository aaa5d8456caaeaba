import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Event } from '@overdub/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runCommand } from './command.ts';
import plugin from './index.ts';

const event: Event = {
  id: 'e1',
  type: 'snapshot.committed',
  at: '2026-11-22T12:45:00Z',
  subject: { server: 'web-1' },
  text: 'web-1 has a new snapshot; "quotes" $HOME `ls`',
  data: { bytes: 12 },
};
const clock = {
  now: () => Date.now(),
  sleep: (ms: number, signal?: AbortSignal) => delay(ms, undefined, signal === undefined ? {} : { signal }),
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'overdub-exec-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function script(text: string): Promise<string> {
  const path = join(folder, 'script');
  await writeFile(path, `#!/bin/sh\ncd '${folder}'\n${text}\n`);
  await chmod(path, 0o755);
  return path;
}
const run = (command: string[], options: Partial<Parameters<typeof runCommand>[2]> = {}) =>
  runCommand(command, event, {
    environment: {},
    timeoutMs: 10_000,
    clock,
    signal: new AbortController().signal,
    ...options,
  });

test('the command gets the event on standard input and its type in the environment', async () => {
  process.env.OVERDUB_TOKEN = 'not for the command';
  try {
    await run([await script('cat > event; env > environment; echo "$1" > argument'), 'a b;c'], {
      environment: { RACK: '3' },
    });
  } finally {
    delete process.env.OVERDUB_TOKEN;
  }
  expect(JSON.parse(await readFile(join(folder, 'event'), 'utf8'))).toEqual(event);
  const environment = await readFile(join(folder, 'environment'), 'utf8');
  expect(environment).toContain('OVERDUB_EVENT=snapshot.committed\n');
  expect(environment).toContain('RACK=3\n');
  expect(environment).not.toContain('OVERDUB_TOKEN');
  expect(await readFile(join(folder, 'argument'), 'utf8')).toBe('a b;c\n');
});

describe('failures', () => {
  test('an exit code says what the command said', async () => {
    await expect(run([await script('echo "mail server down" >&2; exit 3')])).rejects.toThrow(
      /ended with exit code 3: mail server down/,
    );
  });

  test('a command that does not exist is named', async () => {
    await expect(run([join(folder, 'absent')])).rejects.toThrow(/absent cannot be started/);
  });

  test('a command that hangs is killed, with what it started', async () => {
    const path = await script('trap "" TERM; (sleep 3; touch grandchild) & sleep 60');
    const begin = performance.now();
    await expect(run([path], { timeoutMs: 100 })).rejects.toThrow(/did not end within 0.1 s and was killed/);
    expect(performance.now() - begin).toBeLessThan(10_000);
    await delay(1500);
    expect(existsSync(join(folder, 'grandchild'))).toBe(false);
  });

  test('it is killed when the appliance stops', async () => {
    const stop = new AbortController();
    const running = run([await script('sleep 60')], { signal: stop.signal });
    setTimeout(() => stop.abort(), 50);
    await expect(running).rejects.toThrow(/appliance stops/);
  });

  test('not reading the input is none', async () => {
    await run(['/bin/true']);
  });
});

test('the plugin taps notification and runs what is wanted', async () => {
  const path = await script('cat >> events');
  const { definition } = plugin({ command: [path] });
  let told: ((event: Event) => unknown) | undefined;
  const hooks = {
    notification: {
      notify: {
        tap: (handler: (event: Event) => unknown) => {
          told = handler;
        },
      },
    },
  };
  const ctx = { hooks, clock, signal: new AbortController().signal };
  definition.apply(ctx as never, { command: [path], events: ['operation.failed'] });
  await told?.(event);
  await told?.({ ...event, type: 'operation.failed' });
  const lines = (await readFile(join(folder, 'events'), 'utf8')).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line).type)).toEqual(['operation.failed']);
});

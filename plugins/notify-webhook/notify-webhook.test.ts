import { createHmac } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Event } from '@overdub/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deliver } from './deliver.ts';
import plugin from './index.ts';

const event: Event = {
  id: 'e1',
  type: 'operation.failed',
  at: '2026-11-22T12:45:00Z',
  subject: { operation: 'op1' },
  text: 'grüße',
  data: {},
};

let server: Server;
let url: string;
let seen: { headers: IncomingHttpHeaders; body: string }[];
let answers: (number | 'hang' | 'cut')[];
let pauses: number[];
const clock = {
  now: () => 1_763_815_500_000,
  sleep: async (ms: number) => void pauses.push(ms),
};

beforeEach(async () => {
  [seen, answers, pauses] = [[], [], []];
  server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push({ headers: request.headers, body });
    const answer = answers.shift() ?? 204;
    if (answer === 'hang') return;
    if (answer === 'cut') return void request.socket.destroy();
    response.writeHead(answer, answer === 302 ? { location: '/elsewhere' } : {}).end('text');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const send = (options: Partial<Parameters<typeof deliver>[1]> = {}) =>
  deliver(event, {
    url,
    headers: {},
    attempts: 4,
    timeoutMs: 5000,
    clock,
    signal: new AbortController().signal,
    ...options,
  });

test('posts the event as JSON with its type, id and the given headers', async () => {
  await send({ headers: { 'x-team': 'web' } });
  expect(seen).toHaveLength(1);
  expect(JSON.parse(seen[0]?.body as string)).toEqual(event);
  expect(seen[0]?.headers).toMatchObject({
    'content-type': 'application/json',
    'overdub-event': 'operation.failed',
    'overdub-delivery': 'e1',
    'x-team': 'web',
  });
  expect(seen[0]?.headers['overdub-signature']).toBeUndefined();
});

test('a receiver can check the signature', async () => {
  await send({ secret: 'shared' });
  const { headers, body } = seen[0] as { headers: IncomingHttpHeaders; body: string };
  const [, time, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['overdub-signature'])) ?? [];
  expect(time).toBe('1763815500');
  expect(mac).toBe(createHmac('sha256', 'shared').update(`${time}.${body}`).digest('hex'));
});

describe('tries again', () => {
  test.each([[500], [503], [429], ['cut' as const]])('after %s, with growing pauses', async (answer) => {
    answers = [answer, answer, 200];
    await send();
    expect(seen.map(({ headers }) => headers['overdub-attempt'])).toEqual(['1', '2', '3']);
    expect(pauses).toEqual([1000, 2000]);
  });

  test('after a receiver that does not answer in time', async () => {
    answers = ['hang', 200];
    await send({ timeoutMs: 100 });
    expect(seen).toHaveLength(2);
  });

  test('until the last try, and says what it was answered', async () => {
    answers = [500, 500, 502];
    await expect(send({ attempts: 3 })).rejects.toThrow(/try 3 of 3\): HTTP 502/);
    expect(seen).toHaveLength(3);
  });

  test.each([400, 401, 404, 410, 302])('but not after %d', async (answer) => {
    answers = [answer];
    await expect(send()).rejects.toThrow(`HTTP ${answer}`);
    expect(seen).toHaveLength(1);
  });

  test('not when the appliance stops', async () => {
    answers = [500, 500];
    const stop = new AbortController();
    await expect(
      send({ signal: stop.signal, clock: { ...clock, sleep: async () => stop.abort() } }),
    ).rejects.toThrow();
    expect(seen.length).toBeLessThan(3);
  });
});

test('nobody listening is a failure that says so', async () => {
  await expect(send({ url: 'http://127.0.0.1:1/', attempts: 1 })).rejects.toThrow(
    /127\.0\.0\.1:1\/ did not take the event/,
  );
});

describe('the plugin', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'overdub-webhook-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  test('posts wanted events, signed with the secret of the file', async () => {
    const secretFile = join(folder, 'secret');
    await writeFile(secretFile, 'shared\n');
    const options = { url, secretFile, events: ['operation.*'] };
    const { definition } = plugin(options);
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
    const ctx = { hooks, clock, signal: new AbortController().signal } as never;
    definition.apply(ctx, options);
    await definition.start?.(ctx, options);
    await told?.({ ...event, type: 'machine.seen' });
    await told?.(event);
    expect(seen).toHaveLength(1);
    expect(seen[0]?.headers['overdub-signature']).toMatch(/^t=/);
  });

  test.each(['absent', 'empty'])('an %s secret file fails the start', async (name) => {
    await writeFile(join(folder, 'empty'), '\n');
    const { definition } = plugin({ url, secretFile: join(folder, name) });
    await expect(
      definition.start?.({} as never, { url, secretFile: join(folder, name) }),
    ).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });
});

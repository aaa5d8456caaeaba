/** Debian's TFTP clients over a network that loses, doubles and reorders packets, and over block number 65,535. */

import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { startTftpServer, type TftpReport, type TftpServer } from '@overdub/lib-netboot';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { lossyNetwork } from './netboot-lossy.ts';

const run = promisify(execFile);
const FILES: Readonly<Record<string, Buffer>> = { small: randomBytes(300_000), many: randomBytes(4_300_000) };
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

let server: TftpServer;
let directory: string;
let reports: TftpReport[];
beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-tftp-'));
  reports = [];
  server = await startTftpServer({
    listen: { address: '127.0.0.1', port: 0 },
    retryMs: 100,
    attempts: 12,
    onReport: (report) => reports.push(report),
    open: async (name) => {
      const content = FILES[name];
      return (
        content && {
          bytes: content.length,
          async *read() {
            yield content;
          },
        }
      );
    },
  });
});
afterEach(async () => {
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

type Client = (name: string, port: number, target: string) => readonly string[];
const atftp =
  (...options: readonly string[]): Client =>
  (name, port, target) => [
    'atftp',
    ...options.flatMap((option) => ['--option', option]),
    ...['--get', '--remote-file', name, '--local-file', target, '127.0.0.1', String(port)],
  ];
const curl: Client = (name, port, target) => [
  ...['curl', '-sS', '--tftp-blksize', '1468', '-o', target],
  `tftp://127.0.0.1:${port}/${name}`,
];
const hpa: Client = (name, port, target) => [
  ...['/usr/bin/tftp', '-4', '-m', 'binary', '127.0.0.1', String(port), '-c', 'get', name, target],
];
const CLIENTS: Readonly<Record<string, Client>> = {
  'atftp, 512 bytes': atftp(),
  'atftp, blksize 1468': atftp('blksize 1468'),
  'atftp, windowsize 8': atftp('blksize 1468', 'windowsize 8'),
  'atftp, windowsize 32': atftp('blksize 1468', 'windowsize 32'),
  'tftp-hpa': hpa,
  curl,
};

async function fetched(client: Client, name: string, port: number): Promise<string> {
  const target = path.join(directory, 'got');
  const [command, ...args] = client(name, port, target) as [string, ...string[]];
  await run(command, args, { timeout: 100_000 });
  return digest(await readFile(target));
}

describe('on a good network', () => {
  test.each(Object.entries(CLIENTS))('%s', async (_, client) => {
    expect(await fetched(client, 'small', server.port)).toBe(digest(FILES.small as Buffer));
  });

  test('block numbers roll over: 67,187 blocks in windows of 32', async () => {
    const client = atftp('blksize 64', 'windowsize 32');
    expect(await fetched(client, 'many', server.port)).toBe(digest(FILES.many as Buffer));
  });
});

describe('on a bad network', () => {
  const LOSSY = { lost: 0.03, doubled: 0, reordered: 0 };
  const ODD = { lost: 0, doubled: 0.1, reordered: 0.1 };
  test.each([
    ['3 % lost', LOSSY, ['atftp, blksize 1468', 'atftp, windowsize 8', 'tftp-hpa']],
    [
      'a tenth doubled, a tenth reordered',
      ODD,
      ['atftp, blksize 1468', 'atftp, windowsize 8', 'tftp-hpa', 'curl'],
    ],
    ['all of it', { ...ODD, ...{ lost: 0.01 } }, ['atftp, blksize 1468', 'atftp, windowsize 8']],
  ] as const)('%s', async (_, badness, clients) => {
    for (const name of clients) {
      const network = await lossyNetwork(server.port, { ...badness, seed: 7 });
      try {
        const got = await fetched(CLIENTS[name] as Client, 'small', network.port);
        expect([name, got]).toEqual([name, digest(FILES.small as Buffer)]);
        const { lost, doubled, reordered } = network.done;
        expect(lost + doubled + reordered).toBeGreaterThan(0);
      } finally {
        await network.close();
      }
    }
  });
});

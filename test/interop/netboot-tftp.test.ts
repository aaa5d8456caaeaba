/** Our TFTP server against clients that we did not write: curl, the npm package `tftp`. */

import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { startTftpServer, type TftpReport, type TftpServer } from '@overdub/lib-netboot';
import { afterEach, beforeEach, expect, test } from 'vitest';

const run = promisify(execFile);
const CONTENT = randomBytes(3_000_123);
const EXACT = randomBytes(1468 * 40);
const files: Readonly<Record<string, Buffer>> = { 'a/big': CONTENT, exact: EXACT, empty: Buffer.alloc(0) };
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

let server: TftpServer;
let directory: string;
let reports: TftpReport[];
beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-tftp-'));
  reports = [];
  server = await startTftpServer({
    listen: { address: '127.0.0.1', port: 0 },
    onReport: (report) => reports.push(report),
    open: async (name) => {
      const content = Object.hasOwn(files, name) ? files[name] : undefined;
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

async function curl(name: string, ...options: string[]): Promise<Buffer> {
  const target = path.join(directory, 'curl');
  await run('curl', [
    '-sS',
    '--max-time',
    '60',
    ...options,
    '-o',
    target,
    `tftp://127.0.0.1:${server.port}/${name}`,
  ]);
  return readFile(target);
}

test.each(['512', '1024', '1468'])('curl at block size %s', async (bytes) => {
  expect(digest(await curl('a/big', '--tftp-blksize', bytes))).toBe(digest(CONTENT));
});
test('curl without any option', async () => {
  expect(digest(await curl('a/big', '--tftp-no-options'))).toBe(digest(CONTENT));
});
test('curl: a file that ends on a block boundary, and an empty one', async () => {
  expect(digest(await curl('exact', '--tftp-blksize', '1468'))).toBe(digest(EXACT));
  // curl refuses a transfer size of 0 in the option acknowledgement (exit 71), so it must not ask for it.
  expect((await curl('empty', '--tftp-no-options')).length).toBe(0);
});
test('curl names a missing file and a refused path as such', async () => {
  await expect(curl('nope')).rejects.toMatchObject({ code: 68 });
  await expect(curl('..%2f..%2fetc/passwd')).rejects.toMatchObject({ code: 69 });
});
test('curl may not write', async () => {
  const url = `tftp://127.0.0.1:${server.port}/a/big`;
  await expect(
    run('curl', ['-sS', '-T', path.join(import.meta.dirname, 'netboot-tftp.test.ts'), url]),
  ).rejects.toThrow(/69|[Aa]ccess|read-only/);
});

interface OldClient {
  get(remote: string, local: string, callback: (error?: Error) => void): void;
}
test.each([1, 4, 16, 64])('the npm package tftp, window %i', async (windowSize) => {
  const { createClient } = createRequire(import.meta.url)('tftp') as {
    createClient(options: object): OldClient;
  };
  const client = createClient({ host: '127.0.0.1', port: server.port, windowSize, blockSize: 1468 });
  const target = path.join(directory, 'npm');
  await new Promise<void>((resolve, reject) => {
    client.get('a/big', target, (error) => (error ? reject(error) : resolve()));
  });
  expect(digest(await readFile(target))).toBe(digest(CONTENT));
  expect(reports.map((report) => report.result)).not.toContain('failed');
});

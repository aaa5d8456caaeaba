import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import fastify from 'fastify';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NetbootService } from '../contracts/boot.ts';
import { registerArtifacts } from './artifact-route.ts';
import { bufferBytes } from './file-download.ts';

const CONTENT = randomBytes(3_000_001);
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

let directory: string;
let server: ReturnType<typeof fastify>;
let url: string;
let opened: FileHandle[];
let claimed: number;

beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-download-'));
  const file = path.join(directory, 'big');
  await writeFile(file, CONTENT);
  opened = [];
  claimed = CONTENT.length;
  const artifact = async () => ({
    bytes: claimed,
    contentType: 'application/octet-stream',
    etag: 'v1',
    read: () => {
      throw new Error('the file is to be used');
    },
    openFile: async () => {
      const handle = await open(file);
      opened.push(handle);
      return handle;
    },
  });
  server = fastify();
  registerArtifacts(server, { artifact } as unknown as NetbootService);
  await server.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(server.server.address() as AddressInfo).port}/boot/big`;
});
afterEach(async () => {
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

describe('an artifact that is a file', () => {
  test('arrives whole, with its headers, and the file is closed', async () => {
    const response = await fetch(url);
    expect(response.status).toBe(200);
    expect(response.headers.get('etag')).toBe('"v1"');
    expect(response.headers.get('content-length')).toBe(String(CONTENT.length));
    expect(digest(new Uint8Array(await response.arrayBuffer()))).toBe(digest(CONTENT));
    await closed();
  });

  test.each([
    ['bytes=0-0', 0, 1],
    ['bytes=524288-1048575', 524_288, 1_048_576],
    ['bytes=1-1048577', 1, 1_048_578],
    ['bytes=-5', CONTENT.length - 5, CONTENT.length],
  ])('%s', async (range, from, to) => {
    const response = await fetch(url, { headers: { range } });
    expect([response.status, response.headers.get('content-range')]).toEqual([
      206,
      `bytes ${from}-${to - 1}/${CONTENT.length}`,
    ]);
    expect(Buffer.from(await response.arrayBuffer()).equals(CONTENT.subarray(from, to))).toBe(true);
  });

  test('twenty at once do not mix their buffers', async () => {
    const all = await Promise.all(
      Array.from({ length: 20 }, async () => digest(new Uint8Array(await (await fetch(url)).arrayBuffer()))),
    );
    expect(new Set(all)).toEqual(new Set([digest(CONTENT)]));
    await closed();
  });

  test('HEAD and a known version open nothing', async () => {
    expect((await fetch(url, { method: 'HEAD' })).headers.get('content-length')).toBe(String(CONTENT.length));
    expect((await fetch(url, { headers: { 'if-none-match': '"v1"' } })).status).toBe(304);
    expect(opened).toEqual([]);
  });

  test('a client that leaves in the middle: the file is closed', async () => {
    await new Promise<void>((resolve, reject) => {
      const request = http.get(url, (response) => {
        response.once('data', () => {
          request.destroy();
          resolve();
        });
      });
      request.on('error', reject);
    });
    await closed();
  });

  test('a file shorter than it said is cut off, never passed as whole', async () => {
    claimed = CONTENT.length + 1000;
    await expect(fetch(url).then((response) => response.arrayBuffer())).rejects.toThrow();
    await closed();
  });
});

test('a thousand downloads that begin one after the other, and go on, stay within what they may have', () => {
  let held = 0;
  const sizes = Array.from({ length: 1000 }, () => {
    const size = bufferBytes(held);
    held += 2 * size;
    return size;
  });
  expect(sizes.slice(0, 16)).toEqual(Array(16).fill(512 * 1024));
  expect(sizes.at(-1)).toBe(32 * 1024);
  // Two of the smallest for each, and what the few that were alone may take.
  expect(held).toBeLessThanOrEqual((1000 * 2 * 32 + 32 * 1024) * 1024);
  expect(bufferBytes(0)).toBe(512 * 1024);
});

/** Every handle that was opened is closed soon. */
async function closed(): Promise<void> {
  expect(opened.length).toBeGreaterThan(0);
  for (let wait = 0; opened.some(({ fd }) => fd >= 0) && wait < 300; wait++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(opened.map(({ fd }) => fd)).toEqual(opened.map(() => -1));
}

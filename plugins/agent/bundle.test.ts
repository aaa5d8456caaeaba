/** What the bundle holds besides the program, which `test/interop/agent-program.test.ts` runs. */

import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MessageChannel, Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { buildBundle } from './bundle.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-bundle-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

it('the programs of threads that a half starts are there as one file each, and work by themselves', async () => {
  const plugins = new URL('../imaging-tree/', import.meta.url);
  const threads = { writer: new URL('tree/writer/thread.ts', plugins) };
  const half = { name: 'imaging-tree', agent: new URL('agent.ts', plugins), threads };
  const bundle = await buildBundle([half]);
  for (const { path, digest } of bundle.files) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), await bundle.read(digest));
  }
  expect(bundle.inputs).toContain(fileURLToPath(threads.writer));
  const worker = new Worker(join(dir, 'imaging-tree-writer.mjs'));
  const handle = await open(dir);
  try {
    const answer = () =>
      new Promise((resolve, reject) => void worker.once('message', resolve).once('error', reject));
    expect(await answer()).toBe('ready');
    const done = answer();
    const own = {
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
      mtimeNs: '1700000000000000000',
    };
    const file = { type: 'file', mode: 0o600, ...own, bytes: 4, plainly: true };
    const jobs = [{ do: 'file', dirfd: handle.fd, name: 'made', file }];
    worker.postMessage({ jobs, bytes: new Uint8Array(Buffer.from('made')) });
    expect(await done).toMatchObject({ stamps: [{ size: 4, mtimeNs: own.mtimeNs }] });
    expect(await readFile(join(dir, 'made'), 'utf8')).toBe('made');
  } finally {
    await worker.terminate();
    await handle.close();
  }
});

it('two threads whose programs would have one name are told apart by an error', async () => {
  const file = new URL('../imaging-tree/agent.ts', import.meta.url);
  const half = (name: string, thread: string) => ({ name, agent: file, threads: { [thread]: file } });
  await expect(buildBundle([half('a-b', 'c'), half('a', 'b-c')])).rejects.toMatchObject({
    code: 'PLUGIN_FAILED',
    message: expect.stringContaining('a-b-c.mjs'),
  });
});

it('the thread that receives contents is there as one file, and works by itself', async () => {
  const bundle = await buildBundle([]);
  const file = bundle.files.find(({ path }) => path === 'receiver.mjs');
  const here = join(dir, 'receiver.mjs');
  await writeFile(here, await bundle.read(file?.digest ?? ''));
  const server = createServer((_request, response) => response.writeHead(404).end('what it says'));
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const worker = new Worker(here);
  try {
    const { port1, port2 } = new MessageChannel();
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const request = { url, headers: {}, body: new Uint8Array(), silenceMs: 60_000 };
    const reported = new Promise((resolve) => void port1.once('message', resolve));
    worker.postMessage({ request, port: port2 }, [port2]);
    expect(await reported).toEqual({
      is: 'refused',
      status: 404,
      body: new Uint8Array(Buffer.from('what it says')),
    });
    port1.close();
  } finally {
    await worker.terminate();
    server.close();
  }
});

/** What the bundle holds besides the program, which `test/interop/agent-program.test.ts` runs. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { buildBundle } from './bundle.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-bundle-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

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

/** Restores to where nothing is: asked for, sent, written and recorded all at the same time, by real agents and appliances. */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Appliance } from '../../plugins/agent/program/link/appliance.ts';
import { treeImager } from '../../plugins/imaging-tree/imager.ts';
import { clock, World } from './agent-world.ts';

const FILES = 3000;
const MIB = 1024 * 1024;
let world: World;
let root: string;
const proxies: Server[] = [];
const sockets = new Set<Socket>();

let id: string;

beforeAll(async () => {
  world = await World.create();
  root = await world.makeRoot('root');
  await tree();
  ({ id } = await world.snapshot(root));
}, 120_000);
afterEach(async () => {
  for (const proxy of proxies.splice(0)) proxy.close();
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await rm(join(world.dir, 'copy'), { recursive: true, force: true });
});
afterAll(() => world.end());

/** Every file of the one is in the other, byte for byte, and nothing else. */
function expectSame(copy: string): void {
  expect(execFileSync('diff', ['-r', root, copy], { encoding: 'utf8' })).toBe('');
}

/** More steps than are planned at first, a file of many chunks in the middle, equal files far apart. */
async function tree(): Promise<void> {
  for (let at = 0; at < FILES; at++) {
    const dir = join(root, `d${Math.floor(at / 500)}`);
    if (at % 500 === 0) await mkdir(dir);
    await writeFile(join(dir, `${at}`), at % 1000 === 7 ? 'the same' : `file ${at}\n`.repeat(at % 50));
  }
  await writeFile(join(root, 'd5', 'large'), randomBytes(24 * MIB));
  await writeFile(join(root, 'd5', 'text'), randomBytes(4 * MIB).toString('hex'));
}

/** What passes between an agent and the appliance; `cut`: asked with what has come down so far, ends the connection. */
async function through(cut: (path: string, bytesDown: number) => boolean = () => false) {
  const requests: string[] = [];
  const proxy = createServer((socket) => {
    const port = Number(new URL(world.url).port);
    const up = connect(port, '127.0.0.1');
    for (const one of [socket, up]) sockets.add(one.on('error', () => undefined));
    let path = '';
    let bytesDown = 0;
    socket.on('data', (piece) => {
      for (const [, found = ''] of piece.toString('latin1').matchAll(/^POST (\S+) HTTP/gm)) {
        path = found;
        requests.push(found.split('/').at(-1) as string);
      }
      up.write(piece);
    });
    up.on('data', (piece) => {
      bytesDown += piece.length;
      if (cut(path, bytesDown)) up.destroy();
      else if (!socket.write(piece)) up.pause();
    });
    socket.on('drain', () => up.resume());
    socket.once('close', () => up.destroy());
    up.once('close', () => socket.destroy());
  });
  proxies.push(proxy);
  await new Promise<void>((resolve) => void proxy.listen(0, '127.0.0.1', resolve));
  const appliance = new Appliance({
    url: `http://127.0.0.1:${(proxy.address() as { port: number }).port}`,
    self: {
      hello: { protocol: 1, where: 'server', bootId: 'boot-1', server: 'web-1' },
      credential: 'secret',
    },
    sleep: (ms, signal) => clock.sleep(Math.min(ms, 20), signal),
    tries: 3,
  });
  return { appliance, requests };
}

describe.skipIf(availableParallelism() < 2)('a restore to where nothing is', () => {
  it('asks for all of it in one request, and is the same', async () => {
    const { appliance, requests } = await through();
    const copy = await world.makeRoot('copy');
    const result = await world.restore(copy, id, { appliance });
    expect(requests.filter((path) => path === 'fetch')).toHaveLength(1);
    expect(result.bytesReceived).toBeGreaterThan(24 * MIB);
    expect(result.bytesSent).toBeGreaterThan(32 * 2000);
    expectSame(copy);
    appliance.close();
  }, 120_000);

  it.each(['manifest', 'fetch'])(
    'whose line breaks in the middle of %s fails as a lost connection, and the next one ends it',
    async (what) => {
      const at = what === 'fetch' ? 9 * MIB : 50_000;
      const { appliance } = await through((path, bytes) => path.endsWith(what) && bytes > at);
      const copy = await world.makeRoot('copy');
      await expect(world.restore(copy, id, { appliance })).rejects.toMatchObject({
        name: 'ConnectionLost',
      });
      appliance.close();
      await world.restore(copy, id);
      expectSame(copy);
    },
    120_000,
  );

  it('from an appliance that wants whole requests is the same', async () => {
    const { appliance, requests } = await through();
    Object.defineProperty(appliance, 'takesStreams', { get: () => false });
    const copy = await world.makeRoot('copy');
    await world.restore(copy, id, { appliance });
    expect(requests).toContain('fetch');
    expectSame(copy);
    appliance.close();
  }, 120_000);

  it('of an image that may be read no more is refused', async () => {
    let asked = 0;
    const mayRead = world.policy.mayRead;
    world.policy.mayRead = async () => asked++ < 1;
    const restoring = world.restore(await world.makeRoot('copy'), id);
    await expect(restoring).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    expect(asked).toBeGreaterThan(1);
    world.policy.mayRead = mayRead;
  }, 120_000);

  it('whose target cannot be written any more fails for that reason, and leaves nobody waiting', async () => {
    const copy = await world.makeRoot('copy');
    let files = 0;
    const imager: typeof treeImager = {
      ...treeImager,
      apply: (at, target, present, contents, options) =>
        treeImager.apply(at, target, present, contents, {
          ...options,
          onFile: () => {
            files += 1;
            if (files === 2000) throw new Error('the disk is gone');
          },
        }),
    };
    await expect(world.restore(copy, id, { imager })).rejects.toThrow('the disk is gone');
    // The same agent goes on: nothing of it is stuck.
    await rm(copy, { recursive: true });
    await world.restore(await world.makeRoot('copy'), id);
  }, 120_000);

  it('ends with the appliance, and does not wait for it', async () => {
    let stopping: Promise<void> | undefined;
    const { appliance } = await through((path, bytes) => {
      if (path.endsWith('fetch') && bytes > 5 * MIB) stopping ??= world.server.close();
      return false;
    });
    const restoring = world.restore(await world.makeRoot('copy'), id, { appliance });
    await expect(restoring).rejects.toMatchObject({ name: 'ConnectionLost' });
    await stopping;
    await world.stop();
    await world.start();
    appliance.close();
  }, 120_000);

  it('names what is damaged in the middle of it', async () => {
    const [, large = ''] =
      [...world.blobs.blobs.entries()]
        .filter(([name]) => name.startsWith('packs/'))
        .map(([name, bytes]) => [bytes.length, name] as const)
        .sort(([a], [b]) => b - a)[0] ?? [];
    const pack = Buffer.from(world.blobs.blobs.get(large) as Uint8Array);
    pack.fill(0, pack.length >> 1, (pack.length >> 1) + 200_000);
    world.blobs.blobs.set(large, pack);
    await world.stop();
    await world.start();
    const restoring = world.restore(await world.makeRoot('copy'), id);
    await expect(restoring).rejects.toMatchObject({
      code: 'REPOSITORY_DAMAGED',
      message: expect.stringContaining(large),
    });
  }, 120_000);
});

/** What a hostile or broken agent may send: refused with a clear error, nothing committed, nobody else disturbed. */

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import {
  compressFrames,
  encodeFrame,
  FRAME,
  type ManifestRef,
  PageBuilder,
  packDigests,
  requestFrames,
  type Snapshot,
} from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { takeSnapshot } from '../../plugins/agent/program/transfer/snapshot.ts';
import { World } from './agent-world.ts';

const FRAMES = 'application/vnd.overdub.frames+zstd';

let world: World;
let session: string;
beforeEach(async () => {
  world = await World.create();
  session = (await hello({ credential: 'secret' })).session;
});
afterEach(() => world.end());

async function hello(secret: object): Promise<{ session: string }> {
  const body = { protocol: 1, where: 'server', bootId: 'boot-1', server: 'web-1', ...secret };
  return (await call('POST', '/hello', JSON.stringify(body), 'application/json')).json as { session: string };
}

async function call(
  method: string,
  path: string,
  body?: Uint8Array | string,
  type?: string,
  bearer = session,
) {
  const answer = await fetch(`${world.url}/agent/v1${path}`, {
    method,
    headers: {
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...(type === undefined ? {} : { 'content-type': type }),
    },
    ...(body === undefined ? {} : { body: Buffer.from(body as string) }),
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  const isJson = answer.headers.get('content-type')?.includes('json') === true;
  return { status: answer.status, bytes, json: isJson ? JSON.parse(bytes.toString()) : undefined };
}

const post = (path: string, json: unknown) => call('POST', path, JSON.stringify(json), 'application/json');

async function begin(): Promise<string> {
  const task = (await post('/snapshots', { server: 'web-1', reason: 'manual' })).json as { id: string };
  return ((await post('/transfers', { task: task.id, ageMs: 0 })).json as { transfer: string }).transfer;
}

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

function offer(transfer: string, kind: 'chunks' | 'pages', digests: readonly string[]) {
  return call(
    'POST',
    `/transfers/${transfer}/offer/${kind}`,
    packDigests(digests),
    'application/octet-stream',
  );
}

async function upload(transfer: string, head: unknown, frames: Uint8Array[]) {
  const parts: Uint8Array[] = [];
  for await (const part of compressFrames(requestFrames(head, frames), 'light'))
    parts.push(part as Uint8Array);
  return await call('POST', `/transfers/${transfer}/upload`, Buffer.concat(parts), FRAMES);
}

const PLAIN = { files: [], virtual: 0 };

function commit(transfer: string, manifest: ManifestRef) {
  const rest = { consistency: 'fuzzy', skipped: [], skippedTotal: 0, filesChanged: 1 };
  return post(`/transfers/${transfer}/commit`, { manifest, ...rest });
}

/** Pages of an image of one file. */
function image(bytes: Uint8Array) {
  const builder = new PageBuilder();
  const common = { mode: 0o644, uid: 0, gid: 0, mtimeNs: '1' };
  const chunk = { digest: digest(bytes), bytes: bytes.length };
  builder.add({ path: '', type: 'directory', ...common });
  const early = builder.add({
    path: 'file',
    type: 'file',
    ...common,
    content: { ...chunk, chunks: [chunk] },
  });
  const { pages, manifest } = builder.finish();
  return { pages: [...early, ...pages], manifest };
}

describe('an upload', () => {
  it('of a chunk that was not offered is refused', async () => {
    const transfer = await begin();
    await offer(transfer, 'chunks', [digest(Buffer.from('right'))]);
    const answer = await upload(transfer, PLAIN, encodeFrame(FRAME.chunk, Buffer.from('wrong')));
    expect(answer).toMatchObject({ status: 400, json: { error: { code: 'INPUT_INVALID' } } });
    expect(answer.json.error.message).toMatch(/not asked for/);
  });

  it('that announces a frame of gigabytes is refused before anything is allocated', async () => {
    const transfer = await begin();
    const frame = Buffer.from([FRAME.chunk, 0xff, 0xff, 0xff, 0x7f]);
    const answer = await call(
      'POST',
      `/transfers/${transfer}/upload`,
      zstdCompressSync(Buffer.concat([...encodeFrame(FRAME.head, JSON.stringify(PLAIN)), frame])),
      FRAMES,
    );
    expect(answer).toMatchObject({ status: 400, json: { error: { code: 'INPUT_INVALID' } } });
    expect(answer.json.error.message).toMatch(/2147483647 bytes/);
  });

  it('that is no zstd, is cut off, or has no end is refused', async () => {
    const transfer = await begin();
    const whole = zstdCompressSync(
      Buffer.concat([...encodeFrame(FRAME.head, JSON.stringify(PLAIN)), ...encodeFrame(FRAME.near)]),
    );
    for (const body of [Buffer.from('nonsense'), whole.subarray(0, -3), whole]) {
      const answer = await call('POST', `/transfers/${transfer}/upload`, body, FRAMES);
      expect(answer).toMatchObject({ status: 400, json: { error: { code: 'INPUT_INVALID' } } });
    }
  });

  it('with a delta out of the bounds of its base is refused', async () => {
    const transfer = await begin();
    const bytes = randomBytes(1000);
    await offer(transfer, 'chunks', [digest(bytes)]);
    // rdiff: magic, copy (8-byte offset, 8-byte length), end.
    const delta = Buffer.alloc(22);
    delta.writeUInt32BE(0x72730236, 0);
    delta[4] = 84;
    delta.writeBigUInt64BE(5n, 5);
    delta.writeBigUInt64BE(1000n, 13);
    const frames = [
      ...encodeFrame(FRAME.delta, JSON.stringify({ chunks: [1000] })),
      ...encodeFrame(FRAME.piece, delta),
      ...encodeFrame(FRAME.piecesEnd),
    ];
    const answer = await upload(transfer, { ...PLAIN, codec: 'rsync' }, frames);
    expect(answer).toMatchObject({ status: 422, json: { error: { code: 'DELTA_INVALID' } } });
  });

  it('with a delta of impossible lengths, or of an unknown codec, is refused', async () => {
    const transfer = await begin();
    for (const chunks of [[], [0], [-5], [1e12], 'x']) {
      const answer = await upload(
        transfer,
        { ...PLAIN, codec: 'rsync' },
        encodeFrame(FRAME.delta, JSON.stringify({ chunks })),
      );
      expect(answer.json.error.code).toBe('INPUT_INVALID');
    }
    expect((await upload(transfer, { ...PLAIN, codec: 'made-up' }, [])).json.error.code).toBe(
      'DRIVER_MISSING',
    );
  });

  it('that names a base the appliance does not have is refused as a conflict', async () => {
    const transfer = await begin();
    const head = {
      files: [{ path: 'etc/shadow', digest: digest(Buffer.from('x')) }],
      virtual: 1,
      codec: 'rsync',
    };
    expect((await upload(transfer, head, [])).json.error.code).toBe('CONFLICT');
  });

  it('that was refused leaves the transfer usable', async () => {
    const transfer = await begin();
    const bytes = Buffer.from('right');
    const { pages, manifest } = image(bytes);
    await offer(transfer, 'chunks', [digest(bytes)]);
    await offer(
      transfer,
      'pages',
      pages.map((page) => page.digest),
    );
    await upload(transfer, PLAIN, encodeFrame(FRAME.chunk, Buffer.from('wrong')));
    const frames = pages.flatMap((page) => encodeFrame(FRAME.page, page.bytes));
    expect(await upload(transfer, PLAIN, [...encodeFrame(FRAME.chunk, bytes), ...frames])).toMatchObject({
      status: 200,
    });
    expect(await commit(transfer, manifest)).toMatchObject({ status: 200, json: { server: 'web-1' } });
  });
});

describe('an offer', () => {
  it('tells nothing about what other servers have', async () => {
    const root = await world.makeRoot('other');
    const bytes = randomBytes(5000);
    await mkdir(join(root, 'etc'));
    await writeFile(join(root, 'etc/secret'), bytes);
    const other = world.connect('other-1');
    await snapshotOf('other-1', root, other);
    const bitmap = await offer(await begin(), 'chunks', [digest(bytes)]);
    expect(bitmap.bytes[0]).toBe(1);
  });

  it('of half a digest, or of more than allowed, is refused', async () => {
    const transfer = await begin();
    const path = `/transfers/${transfer}/offer/chunks`;
    expect((await call('POST', path, Buffer.alloc(33), 'application/octet-stream')).status).toBe(400);
    expect((await call('POST', path, Buffer.alloc(65_537 * 32), 'application/octet-stream')).status).toBe(
      400,
    );
  });
});

describe('a commit', () => {
  it('that refers to another server’s chunk is refused, though the repository has it', async () => {
    const root = await world.makeRoot('other');
    const bytes = randomBytes(5000);
    await writeFile(join(root, 'secret'), bytes);
    await snapshotOf('other-1', root, world.connect('other-1'));
    const transfer = await begin();
    const { pages, manifest } = image(bytes);
    await offer(
      transfer,
      'pages',
      pages.map((page) => page.digest),
    );
    await upload(
      transfer,
      PLAIN,
      pages.flatMap((page) => encodeFrame(FRAME.page, page.bytes)),
    );
    expect(await commit(transfer, manifest)).toMatchObject({
      status: 409,
      json: { error: { code: 'CONFLICT' } },
    });
    expect(await world.repository.listSnapshots('web-1')).toEqual([]);
  });

  it('of pages that escape the image is refused', async () => {
    const transfer = await begin();
    const line = JSON.stringify({ p: '../etc/passwd', t: 'l', m: 0, u: 0, g: 0, n: '1', l: 'x' });
    const page = Buffer.from(`{"overdub":"page","v":1}\n${line}\n`);
    const index = Buffer.from(
      `{"overdub":"index","v":1,"level":1}\n${JSON.stringify({ h: digest(page), b: page.length, f: '', e: 1, s: 0 })}\n`,
    );
    await offer(transfer, 'pages', [digest(page), digest(index)]);
    await upload(transfer, PLAIN, [...encodeFrame(FRAME.page, page), ...encodeFrame(FRAME.page, index)]);
    const answer = await commit(transfer, { root: digest(index), entries: 1, bytes: 0 });
    expect(answer).toMatchObject({ status: 422, json: { error: { code: 'IMAGE_INVALID' } } });
    expect(await world.repository.listSnapshots('web-1')).toEqual([]);
  });
});

describe('reads', () => {
  it('of another server’s image, or of a chunk outside the image, are refused', async () => {
    const root = await world.makeRoot('other');
    await writeFile(join(root, 'secret'), 'secret');
    const theirs = await snapshotOf('other-1', root, world.connect('other-1'));
    const own = await snapshotOf('web-1', await world.makeRoot('mine'), world.connect());
    const fetchFrames = async (manifest: ManifestRef) => {
      const wants = encodeFrame(FRAME.digests, packDigests([digest(Buffer.from('secret'))]));
      const parts: Uint8Array[] = [];
      for await (const part of compressFrames(requestFrames({ image: manifest }, wants), 'light'))
        parts.push(part as Uint8Array);
      return Buffer.concat(parts);
    };
    const denied = await call('POST', '/images/fetch', await fetchFrames(theirs.manifest), FRAMES);
    expect(denied).toMatchObject({ status: 401, json: { error: { code: 'UNAUTHORIZED' } } });
    const appliance = world.connect();
    const reading = async () => {
      for await (const frame of appliance.read(
        'fetch',
        () =>
          requestFrames(
            { image: own.manifest },
            encodeFrame(FRAME.digests, packDigests([digest(Buffer.from('secret'))])),
          ),
        world.signal,
      ))
        expect(frame).toBeUndefined();
    };
    await expect(reading()).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it.each([
    ['of one by one', {}],
    ['of groups', { groupBytes: 1_000_000 }],
  ])('that ask with what is no want are refused: %s', async (_what, manner) => {
    const own = await snapshotOf('web-1', await world.makeRoot('mine'), world.connect());
    const body = requestFrames({ image: own.manifest, ...manner }, encodeFrame(FRAME.chunk, 'what'));
    const parts: Uint8Array[] = [];
    for await (const part of compressFrames(body, 'light')) parts.push(part as Uint8Array);
    const answer = await call('POST', '/images/fetch', Buffer.concat(parts), FRAMES);
    expect(answer).toMatchObject({ status: 400, json: { error: { code: 'INPUT_INVALID' } } });
  });
});

describe('a session', () => {
  it('is needed for everything but hello', async () => {
    for (const [method, path] of [
      ['GET', '/task'],
      ['GET', '/bundle'],
      ['POST', '/snapshots'],
      ['POST', '/restores'],
      ['POST', '/transfers'],
      ['POST', '/images/fetch'],
    ] as const) {
      const answer = await call(method, path, undefined, undefined, 'A'.repeat(43));
      expect(answer).toMatchObject({ status: 401, json: { error: { code: 'UNAUTHORIZED' } } });
    }
  });

  it('with a wrong credential, an unknown protocol or a malformed hello is refused', async () => {
    expect(
      (await post('/hello', { protocol: 1, where: 'server', bootId: 'x', credential: 'no' })).status,
    ).toBe(401);
    expect(
      (await post('/hello', { protocol: 9, where: 'server', bootId: 'x', credential: 'secret' })).status,
    ).toBe(400);
    expect(
      (await post('/hello', { protocol: 1, where: 'moon', bootId: 'x', credential: 'secret' })).status,
    ).toBe(400);
    expect((await call('POST', '/hello', '{', 'application/json')).status).toBe(400);
  });

  it('of a held machine may only wait', async () => {
    world.policy.standing = 'held';
    const held = (await hello({ credential: 'secret' })).session;
    const answer = await call(
      'POST',
      '/snapshots',
      JSON.stringify({ server: 'web-1', reason: 'manual' }),
      'application/json',
      held,
    );
    expect(answer).toMatchObject({ status: 403, json: { error: { code: 'MACHINE_HELD' } } });
    expect((await call('GET', '/task?wait=0', undefined, undefined, held)).json).toMatchObject({
      standing: 'held',
    });
  });

  it('begun with a nonce is renewed after the appliance restarted, by the same boot only', async () => {
    const ramdisk = { protocol: 1, where: 'ramdisk', bootId: 'boot-7' };
    const first = (await post('/hello', { ...ramdisk, nonce: 'n1' })).json.session;
    await world.stop();
    await world.start();
    expect((await call('GET', '/task?wait=0', undefined, undefined, first)).status).toBe(401);
    expect((await post('/hello', { ...ramdisk, bootId: 'boot-8', resume: first })).status).toBe(401);
    const second = (await post('/hello', { ...ramdisk, resume: first })).json.session;
    expect((await call('GET', '/task?wait=0', undefined, undefined, second)).status).toBe(200);
    expect(JSON.stringify(await world.repository.listRecords('agent-session'))).not.toContain(first);
  });
});

describe('a slow agent', () => {
  it('does not hold up others', async () => {
    const transfer = await begin();
    const socket = connect(Number(new URL(world.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.write(
      `POST /agent/v1/transfers/${transfer}/upload HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${session}\r\ncontent-type: ${FRAMES}\r\ncontent-length: 1000\r\n\r\n`,
    );
    socket.write(zstdCompressSync(Buffer.from('x')).subarray(0, 4));
    const root = await world.makeRoot('quick');
    await writeFile(join(root, 'file'), 'quick');
    const snapshot = await snapshotOf('other-1', root, world.connect('other-1'));
    expect(snapshot.server).toBe('other-1');
    socket.destroy();
  });
});

async function snapshotOf(
  server: string,
  root: string,
  appliance: ReturnType<World['connect']>,
): Promise<Snapshot> {
  const task = await appliance.beginSnapshot({ server, reason: 'manual' }, world.signal);
  const stateDir = join(world.dir, `state-${server}`);
  return await takeSnapshot({ ...world.context(appliance, root), stateDir }, task);
}

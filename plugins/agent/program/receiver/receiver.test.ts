/** What answers come to, received by a thread and by who asks: the same. */

import { randomBytes } from 'node:crypto';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { zstdCompressSync } from 'node:zlib';
import {
  compressFrames,
  digestOf,
  encodeFrame,
  FRAME,
  type GroupHead,
  groupFrames,
  OverdubError,
  readBody,
  storeFrames,
} from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HttpLink } from '../link/http.ts';
import { type OpenedAnswer, openedAnswers } from './opened-answers.ts';
import { Receiver } from './receiver.ts';

const MIB = 1024 * 1024;
const { signal } = new AbortController();

/** What the appliance gives out: `encoding` is a lie where it says so. */
function group(chunks: readonly Buffer[], { damaged = false, gives = chunks.map((_, at) => [at, at]) } = {}) {
  const stored = zstdCompressSync(Buffer.concat(chunks));
  if (damaged) stored.fill(0, 4);
  const lengths = chunks.map(({ length }) => length);
  const head = { chunks: lengths, encoding: 'zstd', bytes: stored.length, gives } as const;
  return [...groupFrames(head, [stored])];
}

async function listening(listener: RequestListener) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const link = new HttpLink(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return { server, link };
}

const chunksOf = (seed: string) =>
  [10, 200_000, MIB].map((bytes, at) => Buffer.alloc(bytes, `${seed} ${at}`));

describe.skipIf(availableParallelism() < 2).each(['a thread', 'who asks'])('answers received by %s', (by) => {
  let server: Server;
  let respond: (response: ServerResponse) => unknown;
  let link: HttpLink;
  let receiver: Receiver | undefined;

  beforeEach(async () => {
    ({ server, link } = await listening((request, response) => {
      request.resume().once('end', () => void respond(response));
    }));
    receiver = by === 'a thread' ? Receiver.start(link.url) : undefined;
  });

  afterEach(async () => {
    await receiver?.close();
    link.close();
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });

  async function ask(stop: AbortSignal = signal): Promise<AsyncGenerator<OpenedAnswer>> {
    const request = { method: 'POST', path: '/fetch', body: Buffer.from('asked'), signal: stop } as const;
    if (receiver !== undefined) return await link.receive(receiver, request);
    return openedAnswers(readBody(await link.stream(request)));
  }

  /** Of each answer: what it is, what it holds. */
  async function all(answers: AsyncIterable<OpenedAnswer>): Promise<unknown[]> {
    const found: unknown[] = [];
    for await (const answer of answers) {
      if ('frame' in answer) found.push([answer.frame.type, Buffer.from(answer.frame.payload).toString()]);
      else found.push([answer.group.raw && digestOf(answer.group.raw), ...answer.group.digests]);
    }
    return found;
  }

  const sending = (frames: readonly Uint8Array[]) => async (response: ServerResponse) => {
    const body = async function* () {
      yield* frames;
      yield* encodeFrame(FRAME.end);
    };
    storeFrames(body()).pipe(response);
  };

  it('are groups, whole and damaged, and frames of any length, in their order', async () => {
    const [first, second] = [chunksOf('first'), chunksOf('second')];
    const long = 'x'.repeat(3 * MIB);
    const frames = [
      ...group(first),
      ...encodeFrame(FRAME.chunk, long),
      ...group(second, { damaged: true }),
      ...encodeFrame(FRAME.unknownBase),
      ...group(second, { gives: [[0, 1]] }),
    ];
    respond = sending(frames);
    const digests = (chunks: readonly Buffer[]) => chunks.map(digestOf);
    expect(await all(await ask())).toEqual([
      [digestOf(Buffer.concat(first)), ...digests(first)],
      [FRAME.chunk, long],
      [undefined],
      [FRAME.unknownBase, ''],
      [digestOf(Buffer.concat(second)), undefined, digestOf(second[1] as Buffer), undefined],
    ]);
    expect(link.bytes.received).toBeGreaterThan(3 * MIB);
    expect(link.bytes.sent).toBe('asked'.length);
  });

  it('may be compressed as a whole', async () => {
    const frames = [...encodeFrame(FRAME.chunk, 'x'.repeat(MIB)), ...group(chunksOf('a'))];
    respond = (response) => {
      const body = async function* () {
        yield* frames;
        yield* encodeFrame(FRAME.end);
      };
      compressFrames(body(), 'light').pipe(response);
    };
    expect(await all(await ask())).toHaveLength(2);
  });

  it('are many, taken slowly, and all there in the end', async () => {
    const groups = Array.from({ length: 24 }, (_, at) => [Buffer.alloc(6 * MIB, `${at}`)]);
    respond = sending(groups.flatMap((chunks) => group(chunks)));
    let at = 0;
    for await (const answer of await ask()) {
      await delay(20);
      expect('group' in answer && answer.group.digests[0]).toBe(digestOf(groups[at++]?.[0] as Buffer));
    }
    expect(at).toBe(groups.length);
  });

  it('are refused with what the appliance says', async () => {
    const error = new OverdubError('UNAUTHORIZED', 'not you', 'say hello');
    respond = (response) => response.writeHead(401).end(JSON.stringify({ error: error.toJSON() }));
    await expect(ask()).rejects.toMatchObject({ code: 'UNAUTHORIZED', message: 'not you' });
    respond = (response) => response.writeHead(502).end('a proxy');
    await expect(ask()).rejects.toMatchObject({ code: 'INTERNAL', message: /status 502/ });
  });

  it('fail with what the appliance fails with, behind what came before', async () => {
    const error = new OverdubError('REPOSITORY_DAMAGED', 'gone', 'verify');
    respond = sending([
      ...encodeFrame(FRAME.chunk, 'a'),
      ...encodeFrame(FRAME.failure, JSON.stringify(error)),
    ]);
    const answers = await ask();
    expect((await answers.next()).value).toMatchObject({ frame: { type: FRAME.chunk } });
    await expect(answers.next()).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
  });

  it.each([
    ['a group that is none', null],
    ['a group that gives what is no number', { chunks: [1], encoding: 'raw', bytes: 1, gives: [['map', 7]] }],
    ['a group that gives nests', { chunks: [1], encoding: 'raw', bytes: 1, gives: [[[[[0]]], 0]] }],
    ['a group that announces too much', { chunks: [9e9], encoding: 'zstd', bytes: 1, gives: [] }],
    ['a group of nothing', { chunks: 'none', encoding: 'zstd', bytes: 1, gives: [] }],
    ['a group in another encoding', { chunks: [1], encoding: 'xz', bytes: 1, gives: [] }],
  ])('are malformed: %s', async (_, head) => {
    respond = sending(encodeFrame(FRAME.group, JSON.stringify(head)));
    await expect(all(await ask())).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  it('are cut off with the connection', async () => {
    respond = (response) => {
      const [header, payload] = encodeFrame(FRAME.chunk, 'x'.repeat(MIB)) as [Uint8Array, Uint8Array];
      const body = async function* () {
        yield header;
        yield payload.subarray(0, MIB / 2);
        await delay(100);
        response.destroy();
      };
      storeFrames(body()).pipe(response);
    };
    const failure = await all(await ask()).catch((error: Error) => error);
    // The appliance's own way adds the name of the error where it reads frames.
    expect((failure as Error).message).toMatch(/no connection|aborted/);
  });

  it('end with the signal, also while nothing comes', async () => {
    respond = (response) => void response.writeHead(200).write('');
    const stop = new AbortController();
    const asked = ask(stop.signal).then(all);
    const refused = expect(asked).rejects.toBeInstanceOf(Error);
    await delay(200);
    stop.abort(new Error('stopped'));
    await refused;
  });

  it('leave nothing open where nobody takes any', async () => {
    respond = sending(group([Buffer.alloc(MIB, 'x')]));
    const answers = await ask();
    await answers.return(undefined);
    // Who asks himself keeps the connection, which is used again.
    if (receiver === undefined) return;
    const open = () => new Promise((done) => server.getConnections((_error, count) => done(count)));
    await vi.waitFor(async () => expect(await open()).toBe(0), { timeout: 30_000 });
  });

  it('are left alone, and others asked for', async () => {
    respond = sending(Array.from({ length: 12 }, () => group([Buffer.alloc(6 * MIB, 'x')])).flat());
    for (let count = 0; count < 3; count++) {
      const answers = await ask();
      expect((await answers.next()).done).toBe(false);
      await answers.return(undefined);
    }
  });
});

describe.skipIf(availableParallelism() < 2)('a receiver', () => {
  const request = { method: 'POST', path: '/', body: Buffer.from(''), signal } as const;
  const ends: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });

  /** An appliance that answers like this, and a receiver for it. */
  async function serving(listener: RequestListener) {
    const { server, link } = await listening(listener);
    const receiver = Receiver.start(link.url) as Receiver;
    ends.push(async () => {
      await receiver.close();
      server.closeAllConnections();
      server.close();
    });
    return { server, link, receiver };
  }

  it('is none where the line is encrypted', () => {
    expect(Receiver.start('https://127.0.0.1:1')).toBeUndefined();
  });

  it('cannot reach who is not there, which is worth another try', async () => {
    const link = new HttpLink('http://127.0.0.1:9');
    const receiver = Receiver.start(link.url) as Receiver;
    await expect(link.receive(receiver, request)).rejects.toMatchObject({ name: 'ConnectionLost' });
    await receiver.close();
  });

  it('tells who waits, and whoever asks later, when its thread has ended', async () => {
    const { server, link, receiver } = await serving(() => undefined);
    const reached = new Promise((resolve) => void server.once('request', resolve));
    const waiting = expect(link.receive(receiver, request)).rejects.toMatchObject({ code: 'INTERNAL' });
    await reached;
    await receiver.close();
    await waiting;
    await expect(link.receive(receiver, request)).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  it('stops at many answers of no bytes, too', async () => {
    let sent = 0;
    const { link, receiver } = await serving((_request, response) => {
      const body = async function* () {
        const thousand = Buffer.concat(
          Array.from({ length: 1000 }, () => encodeFrame(FRAME.unknownBase)).flat(),
        );
        for (; sent < 20_000; sent++) yield thousand;
      };
      storeFrames(body()).pipe(response);
    });
    const answers = await link.receive(receiver, request);
    await answers.next();
    let before = -1;
    while (sent !== before) {
      before = sent;
      await delay(1000);
    }
    // Twelve thousand answers of 4 KiB each; the rest is what lies in sockets.
    expect(sent).toBeLessThan(8000);
    await answers.return(undefined);
  });

  it('has at most some 48 MiB of answers that nobody takes', async () => {
    let sent = 0;
    const bytes = randomBytes(6 * MIB);
    const { link, receiver } = await serving((_request, response) => {
      const body = async function* () {
        for (let at = 0; at < 40; at++) {
          const gives = [[at, 0]] as const;
          yield* groupFrames({ chunks: [6 * MIB], encoding: 'raw', bytes: 6 * MIB, gives } as GroupHead, [
            bytes,
          ]);
          sent += 1;
        }
        yield* encodeFrame(FRAME.end);
      };
      storeFrames(body()).pipe(response);
    });
    const answers = await link.receive(receiver, request);
    await answers.next();
    await vi.waitFor(() => expect(sent).toBeGreaterThanOrEqual(8), { timeout: 30_000 });
    await delay(1000);
    // Two more for what lies in sockets.
    expect(sent).toBeLessThanOrEqual(8 + 1 + 1 + 2);
    await answers.return(undefined);
  });
});

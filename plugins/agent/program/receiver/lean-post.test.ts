/** One POST over a connection of its own, against servers of Node's and such as say what they should not. */

import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { leanPost } from './lean-post.ts';

const MIB = 1024 * 1024;
const servers: Server[] = [];
const sockets = new Set<Socket>();

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  for (const socket of sockets) socket.destroy();
  sockets.clear();
});

async function listening(server: Server, host = '127.0.0.1'): Promise<string> {
  servers.push(server);
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => void server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}/some/path?a=b`;
}

const http = (listener: RequestListener, host?: string) => listening(createHttpServer(listener), host);
/** Whatever is asked, `text` comes; then the connection ends, or stays as it is. */
const saying = (text: string, then: 'ends' | 'stays' = 'ends') =>
  listening(createServer((socket) => socket.write(text, 'latin1', () => then === 'ends' && socket.end())));

const post = (
  url: string,
  more: Partial<Parameters<typeof leanPost>[0]> = {},
  signal = new AbortController().signal,
) => leanPost({ url, headers: {}, body: Buffer.from('asked'), silenceMs: 60_000, ...more }, signal);

/** Pieces are lent, so each is copied. */
async function whole(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const piece of body) parts.push(Uint8Array.from(piece));
  return Buffer.concat(parts);
}

describe('a lean POST', () => {
  it.each(['127.0.0.1', '::1'])(
    'sends its path, fields and body to %s, and takes the answer',
    async (host) => {
      let heard: unknown;
      const url = await http(async (request, response) => {
        const body = (await whole(request)).toString();
        const { authorization, host: named } = request.headers;
        heard = { method: request.method, url: request.url, authorization, named, body };
        response.end('answer');
      }, host);
      const answer = await post(url, { headers: { authorization: 'Bearer x' } });
      expect([answer.status, (await whole(answer.body)).toString()]).toEqual([200, 'answer']);
      const named = new URL(url).host;
      const told = {
        method: 'POST',
        url: '/some/path?a=b',
        authorization: 'Bearer x',
        named,
      };
      expect(heard).toEqual({ ...told, body: 'asked' });
    },
  );

  it('sends a body piece by piece, while the answer comes', async () => {
    const url = await http((request, response) => {
      request.on('data', (piece: Buffer) => response.write(`heard ${piece}. `));
      request.once('end', () => response.end('all.'));
    });
    const more = ['one', 'two', 'three'].map(() => Promise.withResolvers<void>());
    const body = async function* () {
      for (const [at, word] of ['one', 'two', 'three'].entries()) {
        yield Buffer.from(word);
        yield new Uint8Array();
        await more[at]?.promise;
      }
    };
    const answer = await post(url, { body: body() });
    let come = '';
    for await (const piece of answer.body) {
      come += Buffer.from(piece).toString();
      for (const [at, word] of ['one', 'two', 'three'].entries())
        if (come.includes(word)) more[at]?.resolve();
    }
    expect(come).toBe('heard one. heard two. heard three. all.');
  });

  it('hears a refusal while its body goes on, and a body that fails breaks the line', async () => {
    const url = await http((_request, response) => response.writeHead(401).end('not you'));
    const endless = async function* () {
      for (;;) {
        yield Buffer.alloc(1000);
        await new Promise((done) => setTimeout(done, 5));
      }
    };
    const answer = await post(url, { body: endless() });
    expect([answer.status, (await whole(answer.body)).toString()]).toEqual([401, 'not you']);
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('begun');
      throw new Error('it cannot be read');
    };
    const silent = await listening(createServer((socket) => socket.resume()));
    await expect(post(silent, { body: failing() })).rejects.toMatchObject({
      name: 'LineBroken',
      message: 'it cannot be read',
    });
  });

  it.each([
    ['in chunks', {}],
    ['of a known length', { 'content-length': 5 * MIB + 16 }],
  ])('takes a long answer %s as it is, piece for piece out of one buffer', async (_, fields) => {
    const parts = [1, MIB, 3, 4 * MIB, 12].map((bytes, at) => Buffer.alloc(bytes, `part ${at}`));
    const url = await http(async (_request, response) => {
      response.writeHead(200, fields);
      for (const part of parts) await new Promise<void>((done) => void response.write(part, () => done()));
      response.end();
    });
    const { body, come } = await post(url);
    const buffers = new Set<ArrayBufferLike>();
    const taken: Uint8Array[] = [];
    for await (const piece of body) {
      buffers.add(piece.buffer);
      taken.push(Uint8Array.from(piece));
    }
    expect(Buffer.concat(taken).equals(Buffer.concat(parts))).toBe(true);
    expect(come.bytes).toBe(5 * MIB + 16);
    // What came beside the head, and what was read.
    expect(buffers.size).toBeLessThanOrEqual(2);
  });

  it('does not read what nobody asks for', async () => {
    let sent = 0;
    const url = await http((_request, response) => {
      const more = () => {
        while (sent < 512 * MIB && response.write(Buffer.alloc(MIB))) sent += MIB;
      };
      response.on('drain', more);
      more();
    });
    const { body } = await post(url);
    await body.next();
    let before = -1;
    while (sent !== before) {
      before = sent;
      await new Promise((done) => setTimeout(done, 300));
    }
    expect(sent).toBeLessThan(64 * MIB);
    await body.return(undefined);
  });

  it.each([
    ['an answer whose end is that of the connection', 'HTTP/1.1 200 OK\r\n\r\nall there is', 'all there is'],
    [
      'chunks with more behind their length',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n00\r\nx: y\r\n\r\n',
      'abc',
    ],
    [
      'an interim answer',
      'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokmore',
      'ok',
    ],
    ['no bytes', 'HTTP/1.1 204\r\ncontent-length: 0\r\n\r\n', ''],
  ])('understands %s', async (_, text, body) => {
    const answer = await post(await saying(text));
    expect((await whole(answer.body)).toString()).toBe(body);
  });

  it.each([
    ['nothing', '', 'closed before an answer'],
    ['half a head', 'HTTP/1.1 200 OK\r\nconte', 'closed before an answer'],
    ['something else', 'SSH-2.0-x\r\n\r\n', 'begins otherwise'],
    ['a field without a name', 'HTTP/1.1 200 OK\r\nwhat is this\r\n\r\n', 'no name'],
    ['another coding', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n', 'coding is gzip'],
    ['a length that is none', 'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n', 'no number'],
    ['a head without an end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(70_000)}`, 'too long'],
    ['too few bytes', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc', 'before the whole answer'],
    [
      'half a chunk',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc',
      'before the whole answer',
    ],
    [
      'no last chunk',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n',
      'before the whole answer',
    ],
    ['a chunk of no length', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nabc', 'no length'],
    [
      'a chunk longer than it says',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n',
      'longer than it says',
    ],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nContent-Length: 3\r\n\r\nabc', 'two fields'],
    [
      'a length and chunks',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n',
      'said twice',
    ],
    ['a field with no end', 'HTTP/1.1 200 OK\r\nx: y\nz: a\r\n\r\n', 'no end'],
    [
      'no end behind the last chunk',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n',
      'before the whole answer',
    ],
    [
      'a length that does not end',
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${'1'.repeat(2000)}`,
      'too long',
    ],
  ])('refuses %s', async (_, text, why) => {
    const url = await saying(text);
    await expect(post(url).then(({ body }) => whole(body))).rejects.toThrow(why);
  });

  it('takes a head of many spaces at once', async () => {
    const url = await saying(`HTTP/1.1 200 OK\r\nx:${' '.repeat(60_000)}y\r\ncontent-length: 2\r\n\r\nok`);
    expect((await whole((await post(url)).body)).toString()).toBe('ok');
  });

  it('takes a body of none where the status says so, and the connection stays', async () => {
    const answer = await post(await saying('HTTP/1.1 204 No Content\r\n\r\n', 'stays'));
    expect([answer.status, (await whole(answer.body)).length]).toEqual([204, 0]);
  });

  it('hears a refusal that comes before its body is out', async () => {
    const url = await http((_request, response) => response.writeHead(401).end('not you'));
    for (let count = 0; count < 20; count++) {
      const answer = await post(url, { body: Buffer.alloc(8 * MIB) });
      expect([answer.status, (await whole(answer.body)).toString()]).toEqual([401, 'not you']);
    }
  });

  it('gives up on a line that is silent while something is waited for', async () => {
    const url = await saying('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc', 'stays');
    const { body } = await post(url, { silenceMs: 200 });
    expect(Buffer.from((await body.next()).value ?? []).toString()).toBe('abc');
    await new Promise((done) => setTimeout(done, 600));
    await expect(body.next()).rejects.toThrow('silent');
  });

  it('may be silent for as long as its body goes on, and not when that has ended', async () => {
    const url = await saying('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc', 'stays');
    const more = Promise.withResolvers<void>();
    const slow = async function* () {
      yield Buffer.from('first');
      await more.promise;
    };
    const { body } = await post(url, { body: slow(), silenceMs: 200 });
    expect(Buffer.from((await body.next()).value ?? []).toString()).toBe('abc');
    const rest = body.next();
    const sooner = new Promise((done) => setTimeout(done, 600, 'still waited for'));
    expect(await Promise.race([rest, sooner])).toBe('still waited for');
    more.resolve();
    await expect(rest).rejects.toThrow('silent');
  });

  it('ends when its signal says so, before and behind the head', async () => {
    for (const text of ['', 'HTTP/1.1 200 OK\r\n\r\n']) {
      const stop = new AbortController();
      const url = await saying(text, 'stays');
      const rest = post(url, {}, stop.signal).then(({ body }) => whole(body));
      setTimeout(() => stop.abort(), 100);
      await expect(rest).rejects.toThrow(/abort/i);
    }
  });

  it('rejects where nobody listens', async () => {
    const url = await saying('');
    await new Promise((done) => servers.splice(0)[0]?.close(done));
    await expect(post(url)).rejects.toMatchObject({ name: 'LineBroken', cause: { code: 'ECONNREFUSED' } });
  });
});

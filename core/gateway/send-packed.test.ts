/** Bodies that are sent as they are, over a real connection. */

import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { zstdDecompressSync } from 'node:zlib';
import fastify, { type FastifyInstance } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { sendPacked } from './send-packed.ts';

let server: FastifyInstance | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

/** Serves what `frames` makes; `ended`: how it went there. */
async function serve(frames: () => AsyncIterable<Uint8Array>) {
  const ended = Promise.withResolvers<unknown>();
  server = fastify({ forceCloseConnections: true });
  server.get('/', async (_request, reply) => {
    await sendPacked(reply, frames()).then(
      () => ended.resolve('sent'),
      (error) => ended.resolve(error),
    );
    return reply;
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, ended: ended.promise };
}

async function bodyOf(url: string): Promise<Buffer> {
  return Buffer.from(await (await fetch(url)).arrayBuffer());
}

describe('a packed body', () => {
  it('is a zstd stream that any reader takes, long and short pieces in order', async () => {
    const pieces = [3, 20_000, 5, 500_000, 1, 1, 130_000, 7].map((length) => randomBytes(length));
    const { url, ended } = await serve(async function* () {
      yield* pieces;
    });
    const body = await bodyOf(url);
    expect(zstdDecompressSync(body).equals(Buffer.concat(pieces))).toBe(true);
    expect(await ended).toBe('sent');
  });

  it('may be written over as soon as the next piece is asked for', async () => {
    const pieces = [200_000, 10, 3_000_000, 40_000].map((length) => randomBytes(length));
    const { url } = await serve(async function* () {
      for (const piece of pieces) {
        const lent = Buffer.from(piece);
        yield lent;
        lent.fill(0);
      }
    });
    expect(zstdDecompressSync(await bodyOf(url)).equals(Buffer.concat(pieces))).toBe(true);
  });

  it('keeps nothing back where an empty piece says so', async () => {
    const gate = Promise.withResolvers<void>();
    const { url } = await serve(async function* () {
      yield Buffer.from('short');
      yield new Uint8Array();
      await gate.promise;
      yield Buffer.from(' and long');
    });
    const { body } = await fetch(url);
    let come = Buffer.alloc(0);
    for await (const piece of body as unknown as AsyncIterable<Uint8Array>) {
      come = Buffer.concat([come, piece]);
      if (come.includes('short')) gate.resolve();
    }
    expect(zstdDecompressSync(come).toString()).toBe('short and long');
  });

  it('of nothing is a whole stream, too', async () => {
    const { url } = await serve(async function* () {});
    expect(zstdDecompressSync(await bodyOf(url)).length).toBe(0);
  });

  it('is cut off when what makes it fails, so that nobody takes it for whole', async () => {
    const { url, ended } = await serve(async function* () {
      yield randomBytes(300_000);
      throw new Error('damaged');
    });
    await expect(bodyOf(url)).rejects.toThrow();
    expect(await ended).toMatchObject({ message: 'damaged' });
  });

  it('is made no longer when its reader has gone, and its maker is closed', async () => {
    let made = 0;
    const closed = Promise.withResolvers<void>();
    const { url, ended } = await serve(async function* () {
      try {
        for (; made < 1000; made++) yield Buffer.alloc(1_000_000);
      } finally {
        closed.resolve();
      }
    });
    const call = request(url, (answer) => answer.once('data', () => call.destroy()));
    call.on('error', () => undefined);
    call.end();
    await closed.promise;
    expect(await ended).toBe('sent');
    expect(made).toBeLessThan(1000);
  });
});

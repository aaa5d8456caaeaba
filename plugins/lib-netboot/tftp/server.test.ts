import { createHash, randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import { afterEach, describe, expect, test } from 'vitest';
import type { TftpFile } from './block-reader.ts';
import { startTftpServer, type TftpReport, type TftpServer, type TftpServerOptions } from './server.ts';
import { fetchTftp, type Loss, TftpTestError } from './test-client.ts';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function file(content: Uint8Array, pieceBytes = 65536): TftpFile {
  return {
    bytes: content.length,
    async *read() {
      for (let at = 0; at < content.length; at += pieceBytes) yield content.subarray(at, at + pieceBytes);
    },
  };
}

async function serve(
  files: Record<string, TftpFile>,
  more: Partial<TftpServerOptions> = {},
): Promise<{ server: TftpServer; reports: TftpReport[] }> {
  const reports: TftpReport[] = [];
  const server = await startTftpServer({
    listen: { port: 0, address: '127.0.0.1' },
    retryMs: 40,
    open: async (name) => (Object.hasOwn(files, name) ? files[name] : undefined),
    onReport: (report) => reports.push(report),
    ...more,
  });
  closers.push(() => server.close());
  return { server, reports };
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
async function until(condition: () => boolean): Promise<void> {
  for (let wait = 0; !condition() && wait < 400; wait++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition()).toBe(true);
}

describe('sizes', () => {
  test.each([0, 1, 511, 512, 513, 1024, 100_000])('a file of %i bytes arrives whole', async (bytes) => {
    const content = randomBytes(bytes);
    const { server, reports } = await serve({ a: file(content, 700) });
    const got = await fetchTftp({ port: server.port, name: 'a' });
    expect(digest(got.content)).toBe(digest(content));
    await until(() => reports.length === 1);
    expect(reports[0]).toMatchObject({ name: 'a', result: 'done', bytes });
    expect(server.active).toBe(0);
  });

  test('block numbers roll over: 70,000 blocks of 8 bytes', async () => {
    const content = randomBytes(560_003);
    const { server } = await serve({ a: file(content) });
    const got = await fetchTftp({
      port: server.port,
      name: 'a',
      options: { blksize: '8', windowsize: '64' },
    });
    expect(got.blocks).toBe(70_001);
    expect(digest(got.content)).toBe(digest(content));
  });
});

describe('a bad network', () => {
  const cases: [string, Loss, Record<string, string>][] = [
    ['lost data', { dropData: (n) => n % 5 === 2 }, { blksize: '1000' }],
    ['lost acknowledgements', { dropAck: (n) => n % 4 === 1 }, { blksize: '1000' }],
    ['a lost option acknowledgement', { dropData: (n) => n === 0 }, { blksize: '1000' }],
    ['everything twice', { duplicate: true }, { blksize: '1000' }],
    ['lost data in a window', { dropData: (n) => n % 13 === 5 }, { blksize: '1000', windowsize: '16' }],
    [
      'the first block of windows lost',
      { dropData: (n) => n % 17 === 1 },
      { blksize: '500', windowsize: '8' },
    ],
    ['lost, doubled, in windows', { dropData: (n) => n % 11 === 3, duplicate: true }, { windowsize: '8' }],
  ];
  test.each(cases)('%s', async (_, loss, options) => {
    const content = randomBytes(60_000);
    const { server, reports } = await serve({ a: file(content) }, { attempts: 12 });
    const got = await fetchTftp({ port: server.port, name: 'a', options, loss });
    expect(digest(got.content)).toBe(digest(content));
    await until(() => reports.length === 1);
    expect(reports[0]?.result).toBe('done');
  });

  test('duplicate acknowledgements do not double the traffic (Sorcerer’s Apprentice)', async () => {
    const { server } = await serve({ a: file(randomBytes(50_000)) }, { retryMs: 2000 });
    const got = await fetchTftp({ port: server.port, name: 'a', loss: { duplicateAck: true } });
    expect(got.dataPackets).toBe(Math.floor(50_000 / 512) + 1);
  });

  test('a client that goes silent is given up after its attempts, with growing waits', async () => {
    const { server, reports } = await serve({ a: file(randomBytes(5000)) }, { attempts: 3, retryMs: 20 });
    const got = fetchTftp({
      port: server.port,
      name: 'a',
      options: { blksize: '512' },
      silentAfter: 2,
      keepOpen: true,
    });
    await until(() => reports.length === 1);
    expect(reports[0]).toMatchObject({ result: 'failed', reason: 'the client went silent' });
    expect(reports[0]?.milliseconds).toBeGreaterThan(20 + 40 + 80);
    expect(server.active).toBe(0);
    (await got).close();
  });
});

describe('clients’ habits', () => {
  test('EDK2 asks for the size, aborts with error 8, and comes back: no failure', async () => {
    const { server, reports } = await serve({ a: file(randomBytes(3000)) });
    const got = await fetchTftp({
      port: server.port,
      name: 'a',
      options: { tsize: '0' },
      abortAfterOptions: true,
    });
    expect(got.granted.get('tsize')).toBe('3000');
    await until(() => reports.length === 1);
    expect(reports[0]?.result).toBe('aborted');
    expect((await fetchTftp({ port: server.port, name: 'a' })).content.length).toBe(3000);
  });

  test('transfers leave from a port of their own', async () => {
    const { server } = await serve({ a: file(randomBytes(10)) });
    expect((await fetchTftp({ port: server.port, name: 'a' })).transferPort).not.toBe(server.port);
  });

  test('a repeated request starts one transfer only', async () => {
    let opened = 0;
    const content = randomBytes(4000);
    const { server, reports } = await serve(
      {},
      {
        open: async () => {
          opened += 1;
          await new Promise((resolve) => setTimeout(resolve, 60));
          return file(content);
        },
      },
    );
    const got = await fetchTftp({ port: server.port, name: 'a', requestEveryMs: 15 });
    expect(digest(got.content)).toBe(digest(content));
    await until(() => reports.length === 1);
    expect(opened).toBe(1);
  });

  test('names with backslash, leading slash and trailing 0xFF reach the same file', async () => {
    const { server } = await serve({ 'ipxe/a.efi': file(Buffer.from('x')) });
    for (const name of ['/ipxe/a.efi', 'ipxe\\a.efi', 'ipxe/a.efi\u00ff']) {
      expect((await fetchTftp({ port: server.port, name })).content.toString()).toBe('x');
    }
  });
});

describe('refusals', () => {
  test.each([
    ['an unknown name', { name: 'nope' }, 1, /no nope/],
    ['a path that climbs', { name: '../../etc/passwd' }, 2, /leaves/],
    ['a write', { name: 'a', write: true }, 2, /read-only/],
    ['netascii', { name: 'a', mode: 'netascii' }, 0, /octet/],
  ])('%s', async (_, request, code, message) => {
    const { server } = await serve({ a: file(Buffer.from('x')) });
    const failure = await fetchTftp({ port: server.port, ...request }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(TftpTestError);
    expect(failure).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test('a file that ends early is an error at the client, never a short file', async () => {
    const { server, reports } = await serve({ a: { ...file(randomBytes(900)), bytes: 5000 } });
    await expect(fetchTftp({ port: server.port, name: 'a' })).rejects.toThrow(/900 of 5000/);
    await until(() => reports.length === 1);
    expect(reports[0]?.result).toBe('failed');
  });

  test('a source that throws while opening is told to the client', async () => {
    const open = () => Promise.reject(new Error('disk on fire'));
    const { server } = await serve({}, { open });
    await expect(fetchTftp({ port: server.port, name: 'a' })).rejects.toThrow(/disk on fire/);
  });

  test('a taken port is an error with the system’s code', async () => {
    const { server } = await serve({});
    const again = startTftpServer({
      listen: { port: server.port, address: '127.0.0.1' },
      open: async () => undefined,
    });
    await expect(again).rejects.toMatchObject({ name: 'UdpError', code: 'EADDRINUSE' });
  });
});

describe('under attack', () => {
  test('transfers are bounded, and a flood of unanswered requests makes room for a real client', async () => {
    const content = randomBytes(2000);
    const { server } = await serve({ a: file(content) }, { maxTransfers: 8, retryMs: 5000 });
    const flood = dgram.createSocket('udp4');
    const sockets = [flood, ...Array.from({ length: 20 }, () => dgram.createSocket('udp4'))];
    closers.push(() => sockets.forEach((socket) => void socket.close()));
    for (const socket of sockets)
      socket.send(Buffer.from('\0\u0001a\0octet\0blksize\x292\0'), server.port, '127.0.0.1');
    await until(() => server.active === 8);
    expect(digest((await fetchTftp({ port: server.port, name: 'a' })).content)).toBe(digest(content));
    expect(server.active).toBeLessThanOrEqual(8);
  });

  test('empty and random datagrams to the server and to a transfer change nothing', async () => {
    const content = randomBytes(40_000);
    const { server } = await serve({ a: file(content) });
    const socket = dgram.createSocket('udp4');
    closers.push(() => void socket.close());
    for (let round = 0; round < 200; round++) {
      socket.send(randomBytes(round % 50), server.port, '127.0.0.1');
      socket.send('', server.port, '127.0.0.1');
    }
    const got = await fetchTftp({ port: server.port, name: 'a', noise: true, requestEveryMs: 100 });
    expect(digest(got.content)).toBe(digest(content));
  });

  test('closing ends transfers under way', async () => {
    const { server } = await serve({ a: file(randomBytes(50_000)) }, { retryMs: 5000 });
    const client = await fetchTftp({ port: server.port, name: 'a', silentAfter: 3, keepOpen: true });
    expect(server.active).toBe(1);
    await server.close();
    expect(server.active).toBe(0);
    client.close();
  });
});

test('a file arrives whole over IPv6, in the blocks and windows asked for', async () => {
  const content = randomBytes(300_001);
  const { server, reports } = await serve({ a: file(content) }, { listen: { port: 0, address: '::1' } });
  const options = { blksize: '1428', windowsize: '8' };
  const got = await fetchTftp({ address: '::1', port: server.port, name: 'a', options });
  expect(digest(got.content)).toBe(digest(content));
  expect(Object.fromEntries(got.granted)).toEqual(options);
  await until(() => reports.length === 1);
  expect(reports[0]).toMatchObject({ result: 'done', peer: { address: '::1' } });
});

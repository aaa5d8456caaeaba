import dgram from 'node:dgram';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { decodeDhcp, encodeDhcp, MESSAGE, OPTION, openUdp } from '@overdub/lib-netboot';
import { afterEach, expect, test } from 'vitest';
import type { PxeOptions } from './options.ts';
import { type PxeContext, startPxe } from './service.ts';
import { CLIENT, TestClock, TestLog, TestNetboot } from './test-kit.ts';

const closers: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function context(): Promise<PxeContext & { netboot: TestNetboot; log: TestLog }> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-pxe-'));
  closers.push(() => rm(directory, { recursive: true, force: true }));
  return {
    netboot: new TestNetboot(),
    clock: new TestClock(),
    log: new TestLog(),
    signal: new AbortController().signal,
    http: { port: 7077 },
    ensureStateDir: async () => directory,
  };
}

/** Three free ports for DHCP and one for TFTP, so that no privilege is needed. */
async function freePorts(): Promise<Required<Pick<PxeOptions, 'ports' | 'tftp'>>> {
  const sockets = await Promise.all(Array.from({ length: 4 }, () => openUdp({ port: 0 })));
  const [server, client, proxy, tftp] = sockets.map((socket) => socket.address().port) as [
    number,
    number,
    number,
    number,
  ];
  for (const socket of sockets) socket.close();
  return { ports: { server, client, proxy }, tftp: { port: tftp } };
}

const DISCOVER = encodeDhcp({
  op: 1,
  xid: 9,
  chaddr: Uint8Array.of(0x52, 0x54, 0, 0, 0, 1),
  giaddr: '127.0.0.1',
  options: [[OPTION.messageType, Uint8Array.of(MESSAGE.discover)], ...CLIENT.uefi],
}).bytes;

/** Sends as a relay on loopback would, from the server port's neighbour, and waits for the answer. */
async function boots(ports: { server: number; proxy: number }): Promise<string | undefined> {
  const socket = dgram.createSocket('udp4');
  closers.push(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  const request = encodeDhcp({
    op: 1,
    xid: 9,
    chaddr: Uint8Array.of(0x52, 0x54, 0, 0, 0, 1),
    options: [[OPTION.messageType, Uint8Array.of(MESSAGE.request)], ...CLIENT.uefi],
  }).bytes;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no answer on the boot-server port')), 3000);
    socket.on('message', (bytes) => {
      clearTimeout(timer);
      resolve(decodeDhcp(bytes).packet?.file);
    });
    // Rubbish first: it must not disturb the real request behind it.
    socket.send(Buffer.alloc(0), ports.proxy, '127.0.0.1');
    socket.send(Buffer.alloc(600, 0x63), ports.proxy, '127.0.0.1');
    socket.send(DISCOVER.subarray(0, 250), ports.proxy, '127.0.0.1');
    socket.send(request, ports.proxy, '127.0.0.1');
  });
}

test('proxy mode answers on its sockets, survives rubbish, and leaves no port behind when stopped', async () => {
  const ctx = await context();
  const options = await freePorts();
  const service = await startPxe(ctx, { interface: 'lo', ...options });
  expect(await boots(options.ports as { server: number; proxy: number })).toBe('ipxe/x');
  await service.stop();
  const again = await startPxe(ctx, { interface: 'lo', ...options });
  await again.stop();
});

test.each(['server', 'proxy', 'tftp'] as const)(
  'a taken %s port: PORT_UNAVAILABLE that says what to do, nothing left open',
  async (which) => {
    const ctx = await context();
    const options = await freePorts();
    const port = which === 'tftp' ? (options.tftp.port as number) : (options.ports[which] as number);
    const blocker = await openUdp({ port });
    const failure: unknown = await startPxe(ctx, { interface: 'lo', ...options }).catch(
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({
      code: 'PORT_UNAVAILABLE',
      message: expect.stringMatching(new RegExp(`${port}.*taken`)),
      remedy: expect.stringMatching(/ss -lunp/),
    });
    await new Promise<void>((resolve) => blocker.close(() => resolve()));
    await (await startPxe(ctx, { interface: 'lo', ...options })).stop();
  },
);

test.each<[string, PxeOptions, RegExp]>([
  [
    'an interface that is not there',
    { interface: 'nosuchif0' },
    /nosuchif0 does not exist.*lo \(127\.0\.0\.1\)/,
  ],
  ['an address that is not ours', { address: '192.0.2.7' }, /no interface has the address 192\.0\.2\.7/],
  ['an address of another interface', { interface: 'lo', address: '192.0.2.7' }, /lo has no address 192/],
  [
    'a pool of another network',
    { interface: 'lo', mode: 'server', pool: { from: '10.0.0.1', to: '10.0.0.9' } },
    /10\.0\.0\.1 is not in the network of our address 127\.0\.0\.1/,
  ],
])('%s is a configuration error', async (_, options, message) => {
  const ctx = await context();
  await expect(startPxe(ctx, options)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(message),
  });
});

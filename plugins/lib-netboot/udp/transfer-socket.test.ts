import dgram from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { openTransferSocket, type TransferSocket } from './transfer-socket.ts';

const SEGMENT = 1000;
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function peer(address: string): Promise<{ socket: dgram.Socket; received: Buffer[] }> {
  const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  closers.push(() => socket.close());
  const received: Buffer[] = [];
  socket.on('message', (bytes) => received.push(bytes));
  return { socket, received };
}

async function openTo(socket: dgram.Socket, segmentBytes: number | undefined): Promise<TransferSocket> {
  const { address, port } = socket.address();
  const segments = segmentBytes === undefined ? {} : { segmentBytes };
  const opened = await openTransferSocket({ address, peer: { address, port }, ...segments });
  closers.push(() => opened.socket.close());
  return opened;
}

/** Packets of one buffer, the last one shorter. */
function window(count: number): Buffer[] {
  const slab = Buffer.alloc(count * SEGMENT);
  return Array.from({ length: count }, (_, n) => {
    const packet = slab.subarray(n * SEGMENT, n === count - 1 ? n * SEGMENT + 300 : (n + 1) * SEGMENT);
    return packet.fill(n + 1);
  });
}

async function arrived(received: readonly Buffer[], count: number): Promise<void> {
  for (let wait = 0; received.length < count && wait < 500; wait++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(received.length).toBe(count);
}

describe.each([
  ['127.0.0.1', SEGMENT],
  ['127.0.0.1', undefined],
  ['::1', SEGMENT],
])('to %s in segments of %s', (address, segmentBytes) => {
  test('every packet of a window arrives by itself, in order', async () => {
    const { socket, received } = await peer(address);
    const { send } = await openTo(socket, segmentBytes);
    const packets = window(50);
    send(packets);
    await arrived(received, 50);
    expect(received.map((bytes) => [bytes.length, bytes[0]])).toEqual(
      packets.map((bytes) => [bytes.length, bytes[0]]),
    );
  });

  test('a packet longer than a segment stays one, before and after a window', async () => {
    const { socket, received } = await peer(address);
    const { send } = await openTo(socket, segmentBytes);
    for (const packets of [[Buffer.alloc(1300, 8)], window(3), [Buffer.alloc(1400, 9)], window(2)])
      send(packets);
    await arrived(received, 7);
    expect(received.map((bytes) => bytes.length)).toEqual([1300, 1000, 1000, 300, 1400, 1000, 300]);
  });

  test('a peer that has gone is an error of the socket', async () => {
    const gone = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
    gone.bind(0, address);
    await once(gone, 'listening');
    const opened = await openTo(gone, segmentBytes);
    gone.close();
    await once(gone, 'close');
    const failed = once(opened.socket, 'error');
    // Packet by packet the system would give the news to the second one.
    opened.send(window(segmentBytes === undefined || address === '::1' ? 1 : 4));
    expect(((await failed)[0] as NodeJS.ErrnoException).code).toBe('ECONNREFUSED');
  });
});

test('what is longer than a segment is sent by itself, however large', async () => {
  const { socket, received } = await peer('127.0.0.1');
  const { send } = await openTo(socket, SEGMENT);
  const slab = Buffer.alloc(2 * SEGMENT);
  send([slab.subarray(0, SEGMENT), slab.subarray(SEGMENT)]);
  send([Buffer.alloc(40_000, 1), Buffer.alloc(40_000, 2)]);
  await arrived(received, 4);
  expect(received.map((bytes) => bytes.length)).toEqual([SEGMENT, SEGMENT, 40_000, 40_000]);
});

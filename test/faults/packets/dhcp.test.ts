/**
 * Hostile DHCP packets, by the million where OVERDUB_FUZZ_PACKETS says so: through the codec and both modes' request
 * handling in this process, and some thousands through real sockets on loopback.
 */

import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import {
  type DhcpPacket,
  decodeDhcp,
  encodeDhcp,
  ipv4Bytes,
  MESSAGE,
  OPTION,
  openUdp,
  payloadBudget,
} from '@overdub/lib-netboot';
import { describe, expect, test } from 'vitest';
import { handleDhcp } from '../../../plugins/boot-pxe/dhcp-server.ts';
import { handleBootServer, handleProxy } from '../../../plugins/boot-pxe/proxy.ts';
import type { Reply } from '../../../plugins/boot-pxe/reply.ts';
import { startPxe } from '../../../plugins/boot-pxe/service.ts';
import {
  CLIENT,
  SUBNET,
  TestClock,
  type TestDesk,
  TestLog,
  TestNetboot,
  testDesk,
} from '../../../plugins/boot-pxe/test-kit.ts';
import { hex, liveBytes, mutated, openFiles, PACKETS, pick, type Random, random } from './mutate.ts';

const SEED = 20_260_101;
const MACS = Array.from({ length: 40 }, (_, n) => Uint8Array.of(0x52, 0x54, 0, 0, 9, n));
const OPTIONS = [[], CLIENT.bios, CLIENT.uefi, CLIENT.ipxe, CLIENT.ipxeWithoutHttp, CLIENT.http];

/** Every kind of message of every kind of client, direct and relayed. */
function goodPackets(next: Random): Uint8Array[] {
  return Object.values(MESSAGE).flatMap((type) =>
    OPTIONS.flatMap((client) =>
      ['0.0.0.0', '10.0.0.254'].map((giaddr) => {
        const address = `10.0.0.${100 + Math.floor(next() * 50)}`;
        const renews = next() < 0.3;
        const named = [
          [OPTION.requestedAddress, ipv4Bytes(address)],
          [OPTION.serverId, ipv4Bytes('10.0.0.1')],
        ] as const;
        return encodeDhcp({
          op: 1,
          xid: Math.floor(next() * 2 ** 32),
          flags: next() < 0.5 ? 0x8000 : 0,
          chaddr: pick(MACS, next),
          giaddr,
          ciaddr: renews ? address : '0.0.0.0',
          options: [
            [OPTION.messageType, Uint8Array.of(type)],
            ...(renews || type === MESSAGE.discover ? [] : named),
            [OPTION.clientId, Uint8Array.of(255, 0, 0, 0, 1, 0, 2, 0, 0, 171, 17, Math.floor(next() * 9))],
            [OPTION.maxMessageSize, Uint8Array.of(5, 192)],
            [OPTION.machineUuid, new Uint8Array(17).fill(7, 1)],
            ...client,
          ],
          ...(giaddr === '0.0.0.0' ? {} : { relayInformation: Uint8Array.of(1, 2, 3, 4, 5, 4, 10, 0, 0, 0) }),
        }).bytes;
      }),
    ),
  );
}

/** Nothing is kept: what would grow is the test's own. */
function desk(): TestDesk {
  const silent = () => undefined;
  const log = { debug: silent, info: silent, warn: silent, error: silent };
  const subnets = [{ ...SUBNET, pool: { from: '10.0.0.100', to: '10.0.0.199' } }];
  return testDesk({ subnets, log, foreignServer: silent });
}

/** The least that a request must be to deserve any answer: said here again, apart from the code that is tested. */
function deservesAnswer(bytes: Uint8Array): boolean {
  const plain = [1, 1, 6].every((value, index) => bytes[index] === value);
  const cookie = [99, 130, 83, 99].every((value, index) => bytes[236 + index] === value);
  const unicast = ((bytes[28] ?? 1) & 1) === 0 && bytes.subarray(28, 34).some((byte) => byte !== 0);
  const returns = [12, 24].every((field) => {
    const first = bytes[field] as number;
    return bytes.subarray(field, field + 4).every((byte) => byte === 0) || (first > 0 && first < 224);
  });
  return plain && cookie && unicast && returns && bytes.length >= 240;
}

function checkReply(bytes: Uint8Array, packet: DhcpPacket, { draft, to }: Reply): void {
  const budget = payloadBudget(packet);
  const sent = encodeDhcp(draft, budget);
  const { packet: reply, problem } = decodeDhcp(sent.bytes);
  const echoed = (code: number): string => hex(reply?.options.get(code) ?? new Uint8Array());
  const sound =
    deservesAnswer(bytes) &&
    reply !== undefined &&
    problem === undefined &&
    sent.bytes.length <= budget &&
    reply.op === 2 &&
    reply.xid === packet.xid &&
    reply.giaddr === packet.giaddr &&
    hex(reply.chaddr) === hex(packet.chaddr) &&
    echoed(OPTION.relayInformation) ===
      hex(packet.options.get(OPTION.relayInformation) ?? new Uint8Array()) &&
    !/^(0|22[4-9]|2[34]\d)\./.test(to.address);
  if (!sound) throw new Error(`a wrong answer to ${hex(bytes)}: ${hex(sent.bytes)} to ${to.address}`);
}

describe('hostile DHCP packets', () => {
  test(`${PACKETS.toLocaleString('en')} of them: no exception, no answer to nonsense, no growth`, async () => {
    const next = random(SEED);
    const seeds = goodPackets(next);
    const world = desk();
    let answers = 0;
    let before = 0;
    const from = { address: '10.0.0.77', port: 68 };
    for (let count = 0; count < PACKETS; count++) {
      const bytes = mutated(seeds, next);
      const { packet } = decodeDhcp(bytes);
      if (packet !== undefined) {
        const replies = await Promise.all([
          handleDhcp(packet, world),
          handleProxy(packet, world),
          handleBootServer(packet, from, world),
        ]).catch((error: unknown) => {
          throw new Error(`packet ${count}, ${hex(bytes)}`, { cause: error });
        });
        for (const reply of replies) {
          if (reply === undefined) continue;
          answers += 1;
          checkReply(bytes, packet, reply);
        }
      }
      world.netboot.asked.length = 0;
      world.clock.time += 700;
      if (count === Math.floor(PACKETS / 2)) before = liveBytes();
    }
    // Many mutations harm nothing that matters: those must be answered, or this tests nothing.
    expect(answers).toBeGreaterThan(PACKETS / 20);
    expect(world.book.all().length).toBeLessThanOrEqual(100);
    expect(liveBytes() - before).toBeLessThan(4 * 1024 * 1024);
  });

  test.each(['proxy', 'server'] as const)(
    'through sockets in %s mode: it goes on serving, and leaks no descriptor',
    async (mode) => {
      const directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-fuzz-'));
      const files = openFiles();
      const ports = await freePorts();
      const service = await startPxe(
        {
          netboot: new TestNetboot(),
          clock: new TestClock(),
          log: new TestLog(),
          signal: new AbortController().signal,
          http: { port: 7077 },
          ensureStateDir: async () => directory,
        },
        {
          mode,
          interface: 'lo',
          ports: { server: ports[0], client: ports[1], proxy: ports[2] },
          tftp: { port: ports[3] },
          ...(mode === 'server' ? { pool: { from: '127.0.0.100', to: '127.0.0.200' }, probeSeconds: 0 } : {}),
        },
      );
      const socket = dgram.createSocket('udp4');
      try {
        const next = random(SEED + 1);
        const seeds = goodPackets(next);
        for (let count = 0; count < 3000; count++) {
          socket.send(mutated(seeds, next), pick([ports[0], ports[2]], next), '127.0.0.1');
          if (count % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
        }
        expect(await stillServes(ports[2])).toBe('ipxe/x');
      } finally {
        await new Promise<void>((resolve) => socket.close(() => resolve()));
        await service.stop();
        await rm(directory, { recursive: true, force: true });
      }
      expect(openFiles()).toBeLessThanOrEqual(files);
    },
  );
});

/** Asks the boot-server port as firmware does, until it answers. */
async function stillServes(port: number): Promise<string | undefined> {
  const socket = await openUdp({ address: '127.0.0.1', port: 0 });
  const { bytes } = encodeDhcp({
    op: 1,
    xid: 7,
    chaddr: Uint8Array.of(0x52, 0x54, 0, 0, 0, 1),
    options: [[OPTION.messageType, Uint8Array.of(MESSAGE.request)], ...CLIENT.uefi],
  });
  const again = setInterval(() => socket.send(bytes, port, '127.0.0.1'), 50);
  try {
    const [answer] = (await once(socket, 'message', { signal: AbortSignal.timeout(10_000) })) as [Uint8Array];
    return decodeDhcp(answer).packet?.file;
  } finally {
    clearInterval(again);
    socket.close();
  }
}

async function freePorts(): Promise<[number, number, number, number]> {
  const sockets = await Promise.all(Array.from({ length: 4 }, () => openUdp({ port: 0 })));
  const ports = sockets.map((socket) => socket.address().port);
  await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
  return ports as [number, number, number, number];
}

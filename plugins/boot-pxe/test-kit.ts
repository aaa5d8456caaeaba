/** For tests: packets as real clients send them, and a core that answers as told. */

import type { BootAnswer, BootRequest, Clock, Log, NetbootService } from '@overdub/core/agent';
import {
  type DhcpPacket,
  decodeDhcp,
  encodeDhcp,
  encodeSubOptions,
  ipv4Bytes,
  MESSAGE,
  type MessageType,
  OPTION,
} from '@overdub/lib-netboot';
import { NO_PROBE } from './conflict-probe.ts';
import { type Desk, oncePerMinute } from './desk.ts';
import type { LeaseDesk } from './dhcp-server.ts';
import { LeaseBook } from './lease-book.ts';
import type { Reply } from './reply.ts';
import type { Subnet } from './subnets.ts';

export const MAC = '52:54:00:00:00:01';
export const MAC2 = '52:54:00:00:00:02';
export const OURS = '10.0.0.1';

type Options = readonly (readonly [number, Uint8Array])[];

export interface PacketParts {
  readonly mac?: string;
  readonly type: MessageType;
  readonly flags?: number;
  readonly ciaddr?: string;
  readonly giaddr?: string;
  readonly requested?: string;
  readonly server?: string;
  readonly options?: Options;
  readonly op?: number;
}

export function packet(parts: PacketParts): DhcpPacket {
  const { mac = MAC, type, requested, server, options = [], ...fields } = parts;
  const { bytes } = encodeDhcp(
    {
      op: 1,
      xid: 42,
      ...fields,
      chaddr: Uint8Array.from(mac.split(':').map((byte) => Number.parseInt(byte, 16))),
      options: [
        [OPTION.messageType, Uint8Array.of(type)],
        ...(requested === undefined ? [] : [[OPTION.requestedAddress, ipv4Bytes(requested)] as const]),
        ...(server === undefined ? [] : [[OPTION.serverId, ipv4Bytes(server)] as const]),
        ...options,
      ],
    },
    1400,
  );
  return decodeDhcp(bytes).packet as DhcpPacket;
}

const vendor = (arch: number): Options => [
  [OPTION.vendorClass, Buffer.from(`PXEClient:Arch:${String(arch).padStart(5, '0')}:UNDI:003016`)],
  [OPTION.clientArchitecture, Uint8Array.of(arch >> 8, arch & 255)],
];

/** What each kind of client adds to its messages. */
export const CLIENT = {
  bios: vendor(0),
  uefi: vendor(7),
  arch: vendor,
  ipxe: [...vendor(0), [OPTION.userClass, Buffer.from('iPXE')]] as Options,
  ipxeWithoutHttp: [...vendor(0), [OPTION.ipxe, encodeSubOptions([[18, Uint8Array.of(1)]])]] as Options,
  http: [[OPTION.vendorClass, Buffer.from('HTTPClient:Arch:00016:UNDI:003016')]] as Options,
} as const;

export const discover = (options: Options = [], more: Partial<PacketParts> = {}): DhcpPacket =>
  packet({ type: MESSAGE.discover, options, ...more });

/** A log that keeps its lines. */
export class TestLog implements Log {
  readonly lines: { readonly level: string; readonly message: string }[] = [];
  debug = (_fields: object, message: string): unknown => this.lines.push({ level: 'debug', message });
  info = (_fields: object, message: string): unknown => this.lines.push({ level: 'info', message });
  warn = (_fields: object, message: string): unknown => this.lines.push({ level: 'warn', message });
  error = (_fields: object, message: string): unknown => this.lines.push({ level: 'error', message });

  said(level: string): readonly string[] {
    return this.lines.filter((line) => line.level === level).map((line) => line.message);
  }
}

export class TestClock implements Clock {
  time = 1_700_000_000_000;
  now(): number {
    return this.time;
  }
  async sleep(ms: number): Promise<void> {
    this.time += ms;
  }
}

/** Answers as its fields say; keeps what it was asked. */
export class TestNetboot implements NetbootService {
  readonly asked: BootRequest[] = [];
  readonly reservations = new Map<string, { address?: string; hostname: string }>();
  readonly files = new Map<string, Buffer>();
  plan: BootAnswer['plan'] = { kind: 'ramdisk', kernelArguments: [], nonce: 'n0' };
  rendered: BootAnswer['rendered'] | 'default' = 'default';

  async answer(request: BootRequest): Promise<BootAnswer> {
    this.asked.push(request);
    const file =
      request.client === 'ipxe' ? `${request.baseUrl}/boot/ipxe/script?mac=${request.mac}` : 'ipxe/x';
    const rendered = this.rendered === 'default' ? ({ kind: 'file', name: file } as const) : this.rendered;
    return {
      machine: undefined,
      plan: this.plan,
      ...(this.plan.kind !== 'ramdisk' || rendered === undefined ? {} : { rendered }),
    };
  }

  async artifact(name: string) {
    const content = this.files.get(name);
    return (
      content && {
        bytes: content.length,
        contentType: 'application/octet-stream',
        etag: '"x"',
        async *read() {
          yield content;
        },
      }
    );
  }

  async reservation(mac: string) {
    return this.reservations.get(mac);
  }

  async reservedAddresses(): Promise<readonly string[]> {
    return [...this.reservations.values()].flatMap((entry) => entry.address ?? []);
  }
}

export interface TestDesk extends LeaseDesk {
  readonly netboot: TestNetboot;
  readonly clock: TestClock;
  readonly log: TestLog;
  readonly saved: { count: number };
  readonly foreign: string[];
}

/** 10.0.0.0/24 with a pool of three addresses. */
export const SUBNET: Subnet = {
  network: '10.0.0.0',
  netmask: '255.255.255.0',
  pool: { from: '10.0.0.100', to: '10.0.0.102' },
  taken: new Set([OURS]),
  leaseSeconds: 3600,
  router: undefined,
  dns: [],
};

/** A desk on 10.0.0.1/24 that serves {@link SUBNET}. */
export function testDesk(more: Partial<LeaseDesk> = {}): TestDesk {
  const clock = new TestClock();
  const saved = { count: 0 };
  const foreign: string[] = [];
  const base: Desk = {
    site: {
      interface: 'eth0',
      address: OURS,
      netmask: '255.255.255.0',
      mac: '52:54:00:ff:ff:ff',
      baseUrl: `http://${OURS}:7077`,
    },
    netboot: new TestNetboot(),
    clock,
    log: new TestLog(),
    ports: { server: 67, client: 68, proxy: 4011 },
    quirksOf: () => ({}),
    unicasts: false,
    firstTime: oncePerMinute(clock),
  };
  return {
    ...base,
    subnets: [SUBNET],
    ours: new Set([OURS]),
    book: new LeaseBook(),
    probe: NO_PROBE,
    saved,
    foreign,
    save: async () => {
      saved.count += 1;
    },
    foreignServer: (address: string) => foreign.push(address),
    ...more,
  } as TestDesk;
}

/** A reply as the client reads it. */
export function received(reply: Reply | undefined): DhcpPacket {
  if (reply === undefined) throw new Error('expected a reply, got silence');
  const { bytes, dropped } = encodeDhcp(reply.draft, 548);
  if (dropped.length > 0) throw new Error(`options ${dropped} do not fit 548 bytes`);
  return decodeDhcp(bytes).packet as DhcpPacket;
}

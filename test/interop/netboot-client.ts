/**
 * A program for netboot tests: a firmware's PXE client on `eth0`. Argument: JSON of {@link ClientOrder}.
 * Prints one JSON line, a {@link ClientReport}.
 */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import {
  addressOption,
  type DhcpPacket,
  decodeDhcp,
  encodeDhcp,
  interfaceAddresses,
  ipv4Bytes,
  MESSAGE,
  messageType,
  OPTION,
  openUdp,
  textOption,
} from '@overdub/lib-netboot';

/** `class`: option 60, absent for an operating system's client. `bootServer`: ask port 4011 as well. */
export interface ClientOrder {
  readonly class?: string;
  readonly userClass?: string;
  readonly mac: string;
  /** The offer to take; its reply must come from there. */
  readonly server: string;
  /** Others whose offers are waited for as well. */
  readonly others?: readonly string[];
  /** So long answers are collected; longer only for one that is still missing. */
  readonly waitMs: number;
  readonly bootServer?: string;
  /** The broadcast flag; default set. */
  readonly broadcast?: boolean;
}

export interface SeenReply {
  readonly type: number | undefined;
  readonly server: string | undefined;
  readonly yiaddr: string;
  readonly file: string;
  readonly bootFile: string | undefined;
  readonly vendorClass: string | undefined;
  readonly vendorOptions: readonly number[];
  readonly hostname: string | undefined;
  readonly router: string | undefined;
  readonly from: string;
}

export interface ClientReport {
  readonly offers: readonly SeenReply[];
  readonly acks: readonly SeenReply[];
  readonly bootServer: readonly SeenReply[];
}

const RESEND_MS = 2000;
const SENDS = 3;

const order = JSON.parse(process.argv[2] ?? '{}') as ClientOrder;
const chaddr = Uint8Array.from(order.mac.split(':').map((byte) => Number.parseInt(byte, 16)));
const identity: (readonly [number, Uint8Array])[] = [
  ...(order.class === undefined ? [] : [[OPTION.vendorClass, Buffer.from(order.class)] as const]),
  ...(order.userClass === undefined ? [] : [[OPTION.userClass, Buffer.from(order.userClass)] as const]),
  [OPTION.parameterList, Uint8Array.of(1, 3, 6, 12, 43, 60, 66, 67)],
];

const socket = await openUdp({ interface: 'eth0', port: 68 });
const replies: { packet: DhcpPacket; from: string }[] = [];
socket.on('message', (bytes, from) => {
  const { packet } = decodeDhcp(bytes);
  if (packet?.op === 2 && packet.xid === 77) replies.push({ packet, from: from.address });
});

function message(type: number, more: typeof identity, fields: { ciaddr?: string } = {}): Uint8Array {
  const options = [[OPTION.messageType, Uint8Array.of(type)] as const, ...identity, ...more];
  const flags = order.broadcast === false ? 0 : 0x8000;
  return encodeDhcp({ op: 1, xid: 77, flags, chaddr, options, ...fields }).bytes;
}

/** Asks, and again as clients do while one of `servers` is silent (RFC 2131 §4.1); the answers, each once. */
async function ask(request: Uint8Array, type: number, servers: readonly string[]): Promise<SeenReply[]> {
  const answers = () =>
    replies.filter(({ packet }) => messageType(packet) === type).map((reply) => JSON.stringify(seen(reply)));
  const isMissing = (server: string) =>
    !answers().some((text) => (JSON.parse(text) as SeenReply).server === server);
  for (let sent = 0; sent === 0 || (sent < SENDS && servers.some(isMissing)); sent++) {
    socket.send(request, 67, '255.255.255.255');
    await delay(order.waitMs);
    for (let waited = 0; waited < RESEND_MS && servers.some(isMissing); waited += 50) await delay(50);
  }
  const once = [...new Set(answers())];
  replies.length = 0;
  return once.map((text) => JSON.parse(text) as SeenReply);
}

function seen({ packet, from }: { packet: DhcpPacket; from: string }): SeenReply {
  return {
    type: messageType(packet),
    server: addressOption(packet, OPTION.serverId),
    yiaddr: packet.yiaddr,
    file: packet.file,
    bootFile: textOption(packet, OPTION.bootFile),
    vendorClass: textOption(packet, OPTION.vendorClass),
    vendorOptions: [...(packet.options.get(OPTION.vendorSpecific) ?? [])],
    hostname: textOption(packet, OPTION.hostName),
    router: addressOption(packet, OPTION.router),
    from,
  };
}

const discover = message(MESSAGE.discover, []);
const offers = await ask(discover, MESSAGE.offer, [order.server, ...(order.others ?? [])]);
const taken = offers.find((offer) => offer.server === order.server);
let acks: SeenReply[] = [];
const bootServer: SeenReply[] = [];
if (taken !== undefined) {
  const choice = [
    [OPTION.requestedAddress, ipv4Bytes(taken.yiaddr)],
    [OPTION.serverId, ipv4Bytes(order.server)],
  ] as const;
  acks = await ask(message(MESSAGE.request, [...choice]), MESSAGE.ack, [order.server]);
}
const address = acks[0]?.yiaddr;
if (address !== undefined) {
  if (!interfaceAddresses().some((entry) => entry.address === address)) {
    execFileSync('ip', ['address', 'add', `${address}/24`, 'dev', 'eth0']);
  }
  if (order.bootServer !== undefined) {
    const asking = await openUdp({ interface: 'eth0', port: 4011 });
    asking.send(message(MESSAGE.request, [], { ciaddr: address }), 4011, order.bootServer);
    const [bytes, from] = (await once(asking, 'message', { signal: AbortSignal.timeout(5000) })) as [
      Uint8Array,
      { address: string },
    ];
    const { packet } = decodeDhcp(bytes);
    if (packet !== undefined) bootServer.push(seen({ packet, from: from.address }));
    asking.close();
  }
}
socket.close();
process.stdout.write(`${JSON.stringify({ offers, acks, bootServer } satisfies ClientReport)}\n`);

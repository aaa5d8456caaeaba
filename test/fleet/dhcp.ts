/** A DHCP client as firmware, iPXE and the ramdisk have it: DISCOVER, a choice, REQUEST; patient as they are. */

import { randomInt } from 'node:crypto';
import {
  addressOption,
  type DhcpPacket,
  encodeDhcp,
  encodeSubOptions,
  ipv4Bytes,
  MESSAGE,
  type MessageType,
  messageType,
  OPTION,
  textOption,
} from '@overdub/lib-netboot';
import type { Hardware } from './hardware.ts';
import type { Relay } from './relay.ts';

/** PXE 2.1 §2.2.1: four tries, each wait twice the last. The ramdisk's udhcpc asks every 2 s, four times. */
const PATIENCE_MS: Readonly<Record<DhcpKind, readonly number[]>> = {
  firmware: [4000, 8000, 16_000, 32_000],
  ipxe: [1000, 2000, 4000, 8000, 16_000],
  ramdisk: [2000, 2000, 2000, 2000],
};
/** Firmware collects offers before it takes one. */
const CHOICE_MS: Readonly<Record<DhcpKind, number>> = { firmware: 1000, ipxe: 0, ramdisk: 0 };

export type DhcpKind = 'firmware' | 'ipxe' | 'ramdisk';

export interface Leased {
  readonly address: string;
  readonly server: string;
  readonly router: string;
  readonly bootFile: string | undefined;
}

/** What was asked: who asks, and for what. */
export type DhcpQuestion = `${DhcpKind} ${'DISCOVER' | 'REQUEST'}`;

/** Every answer's time at the relay, by question, and how many messages had to be repeated. */
export interface DhcpLog {
  readonly milliseconds: Map<DhcpQuestion, number[]>;
  repeated: number;
}

/** DISCOVER to ACK. Rejects when nobody answers for as long as that client waits, or with a NAK. */
export async function lease(relay: Relay, hardware: Hardware, kind: DhcpKind, log: DhcpLog): Promise<Leased> {
  const xid = randomInt(1, 0xffffffff);
  const ask = (type: MessageType, more: readonly Option[] = []): Promise<DhcpPacket> =>
    exchange({ relay, xid, kind, log, type }, message(hardware, kind, xid, type, more));
  const offer = await ask(MESSAGE.discover);
  const server = addressOption(offer, OPTION.serverId) ?? '';
  await new Promise((resolve) => setTimeout(resolve, CHOICE_MS[kind]));
  const ack = await ask(MESSAGE.request, [
    [OPTION.requestedAddress, ipv4Bytes(offer.yiaddr)],
    [OPTION.serverId, ipv4Bytes(server)],
  ]);
  if (messageType(ack) !== MESSAGE.ack) throw new Error(`${kind}: ${offer.yiaddr} was refused`);
  return {
    address: ack.yiaddr,
    server,
    router: addressOption(ack, OPTION.router) ?? '',
    bootFile: textOption(ack, OPTION.bootFile),
  };
}

interface Exchange {
  readonly relay: Relay;
  readonly xid: number;
  readonly kind: DhcpKind;
  readonly log: DhcpLog;
  readonly type: MessageType;
}

/** A second OFFER, to a DISCOVER that was repeated, answers no REQUEST. */
function answers(type: MessageType, packet: DhcpPacket): boolean {
  return (type === MESSAGE.discover) === (messageType(packet) === MESSAGE.offer);
}

function exchange({ relay, xid, kind, log, type }: Exchange, bytes: Uint8Array): Promise<DhcpPacket> {
  return new Promise((resolve, reject) => {
    const waits = PATIENCE_MS[kind];
    let tries = 0;
    let timer: NodeJS.Timeout | undefined;
    let missed = 0;
    const deaf = relay.listen(xid, ({ packet, milliseconds }) => {
      if (!answers(type, packet)) return;
      clearTimeout(timer);
      deaf();
      const question = `${kind} ${type === MESSAGE.discover ? 'DISCOVER' : 'REQUEST'}` as const;
      const times = log.milliseconds.get(question) ?? [];
      log.milliseconds.set(question, times);
      times.push(missed + milliseconds);
      resolve(packet);
    });
    const attempt = (): void => {
      const wait = waits[tries];
      if (wait === undefined) {
        deaf();
        reject(new Error(`${kind}: no DHCP answer in ${missed} ms`));
        return;
      }
      if (tries > 0) log.repeated += 1;
      tries += 1;
      relay.send(bytes);
      timer = setTimeout(() => {
        // Time that a lost message cost is part of how long the answer took.
        missed += wait;
        attempt();
      }, wait);
    };
    attempt();
  });
}

type Option = readonly [number, Uint8Array];

function message(
  hardware: Hardware,
  kind: DhcpKind,
  xid: number,
  type: MessageType,
  more: readonly Option[],
): Uint8Array {
  const chaddr = Uint8Array.from(hardware.mac.split(':').map((byte) => Number.parseInt(byte, 16)));
  const options: Option[] = [[OPTION.messageType, Uint8Array.of(type)], ...more, ...identity(hardware, kind)];
  const relayInformation = Buffer.concat([
    Uint8Array.of(1, 6),
    Buffer.from(`eth${hardware.index}`.padEnd(6).slice(0, 6)),
  ]);
  return encodeDhcp({ op: 1, htype: 1, xid, chaddr, options, relayInformation }, 1472).bytes;
}

/** RFC 4578 and what iPXE adds; `undionly.kpxe` and `ipxe.efi` both name their features in option 175. */
function identity({ uuid, firmware }: Hardware, kind: DhcpKind): readonly Option[] {
  const wanted = Uint8Array.of(1, 3, 6, 12, 15, 43, 60, 66, 67, 175);
  if (kind === 'ramdisk') return [[OPTION.parameterList, Uint8Array.of(1, 3, 6, 12, 15, 28)]];
  const arch = firmware === 'bios' ? 0 : 7;
  const vendor = `PXEClient:Arch:0000${arch}:UNDI:00${firmware === 'bios' ? '2001' : '3016'}`;
  return [
    [OPTION.maxMessageSize, Uint8Array.of(5, 192)],
    [OPTION.vendorClass, Buffer.from(vendor)],
    [OPTION.clientArchitecture, Uint8Array.of(0, arch)],
    [OPTION.clientInterface, Uint8Array.of(1, firmware === 'bios' ? 2 : 3, firmware === 'bios' ? 1 : 16)],
    [OPTION.machineUuid, Uint8Array.of(0, ...wireUuid(uuid))],
    [OPTION.parameterList, wanted],
    ...(kind === 'ipxe' ? ipxeIdentity() : []),
  ];
}

function ipxeIdentity(): readonly Option[] {
  const features = [19, 21, 17, 24].map((feature) => [feature, Uint8Array.of(1)] as const);
  return [
    [OPTION.userClass, Buffer.from('iPXE')],
    [OPTION.ipxe, encodeSubOptions(features, { end: false })],
  ];
}

/** SMBIOS order: the first three fields little-endian (RFC 4578 §2.3). */
function wireUuid(uuid: string): readonly number[] {
  const bytes = [...Buffer.from(uuid.replaceAll('-', ''), 'hex')];
  return [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map((at) => bytes[at] as number);
}

/** Ethernet frames and ICMP messages that DHCP servers send past the ordinary sockets. Pure. */

import { ipv4Bytes } from '../ipv4.ts';

/** EtherType of ARP (RFC 826). */
export const ARP = 0x0806;
const IPV4 = 0x0800;
const EVERYBODY = Uint8Array.of(255, 255, 255, 255, 255, 255);
const UDP_PROTOCOL = 17;

export interface FrameEnds {
  readonly fromMac: Uint8Array;
  readonly toMac: Uint8Array;
  readonly from: { readonly address: string; readonly port: number };
  readonly to: { readonly address: string; readonly port: number };
}

/** A UDP datagram in an IPv4 packet in an Ethernet frame, for a machine that cannot answer ARP yet. */
export function udpFrame(payload: Uint8Array, ends: FrameEnds): Uint8Array {
  const udp = Buffer.alloc(8);
  udp.writeUInt16BE(ends.from.port, 0);
  udp.writeUInt16BE(ends.to.port, 2);
  udp.writeUInt16BE(8 + payload.length, 4);
  const addresses = Buffer.concat([ipv4Bytes(ends.from.address), ipv4Bytes(ends.to.address)]);
  const pseudo = Buffer.concat([addresses, Uint8Array.of(0, UDP_PROTOCOL), udp.subarray(4, 6)]);
  // RFC 768: a sum of zero is sent as ones, since zero means "no checksum".
  udp.writeUInt16BE(checksum(pseudo, udp, payload) || 0xffff, 6);

  const ip = Buffer.alloc(20);
  ip[0] = 0x45;
  ip.writeUInt16BE(28 + payload.length, 2);
  ip[8] = 64;
  ip[9] = UDP_PROTOCOL;
  addresses.copy(ip, 12);
  ip.writeUInt16BE(checksum(ip), 10);
  return Buffer.concat([ends.toMac, ends.fromMac, Uint8Array.of(IPV4 >> 8, IPV4 & 255), ip, udp, payload]);
}

/** An ARP probe (RFC 5227 §2.1.1): who has `address`? It claims no address itself. */
export function arpProbe(fromMac: Uint8Array, address: string): Uint8Array {
  const head = Uint8Array.of(ARP >> 8, ARP & 255, 0, 1, IPV4 >> 8, IPV4 & 255, 6, 4, 0, 1);
  return Buffer.concat([EVERYBODY, fromMac, head, fromMac, new Uint8Array(10), ipv4Bytes(address)]);
}

/** Who says in this ARP frame that it has an address: request or answer. Undefined for probes and nonsense. */
export function arpSender(frame: Uint8Array): { mac: string; address: string } | undefined {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  if (bytes.length < 42 || bytes.readUInt16BE(12) !== ARP) return undefined;
  if (bytes.readUInt32BE(14) !== 0x00010800 || bytes.readUInt16BE(18) !== 0x0604) return undefined;
  const address = bytes.subarray(28, 32).join('.');
  if (address === '0.0.0.0') return undefined;
  const mac = [...bytes.subarray(22, 28)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  return { mac, address };
}

/** An ICMP echo request (RFC 792) with this identifier. */
export function echoRequest(id: number): Uint8Array {
  const message = Buffer.alloc(16);
  message[0] = 8;
  message.writeUInt16BE(id & 0xffff, 4);
  message.writeUInt16BE(checksum(message), 2);
  return message;
}

/** Who sent this echo reply of ours, from an IPv4 packet as a raw socket delivers it. */
export function echoReplySender(packet: Uint8Array, id: number): string | undefined {
  const bytes = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength);
  const at = bytes.length > 0 ? ((bytes[0] as number) & 15) * 4 : 0;
  if (at < 20 || bytes.length < at + 8) return undefined;
  if (bytes[at] !== 0 || bytes.readUInt16BE(at + 4) !== (id & 0xffff)) return undefined;
  return bytes.subarray(12, 16).join('.');
}

/** RFC 1071, over parts of which all but the last have an even length. */
function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) sum += ((part[at] as number) << 8) + (part[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Raw sockets: whole Ethernet frames of one interface, and ICMP. They need CAP_NET_RAW. */

import { readSync, writeSync } from 'node:fs';
import os from 'node:os';
import { loadLibc } from './libc.ts';
import { socketAddress } from './open-udp.ts';

const AF_INET = 2;
const AF_PACKET = 17;
const SOCK_RAW = 3;
const IPPROTO_ICMP = 1;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const MAX_FRAME = 2048;

/** Sends whole frames; receives those of its EtherType. */
export interface LinkSocket {
  /** One Ethernet frame, headers and all. Throws when the interface cannot take it. */
  send(frame: Uint8Array): void;
  /** The next frame that arrived, or none; never waits. */
  receive(): Uint8Array | undefined;
  close(): void;
}

/** Sends ICMP messages; receives those of this host, IP header and all. */
export interface IcmpSocket {
  send(message: Uint8Array, to: string): void;
  receive(): Uint8Array | undefined;
  close(): void;
}

/**
 * A packet socket on one interface. `etherType` 0 receives nothing; frames to a group only arrive when the group is
 * among `groups` (MAC addresses), since network cards leave out what nobody asked for. Rejects with a `UdpError`.
 */
export async function openLinkSocket(
  device: string,
  etherType: number,
  groups: readonly string[] = [],
): Promise<LinkSocket> {
  const libc = await loadLibc();
  const where = `frames on ${device}`;
  const fd = libc.socket(AF_PACKET, SOCK_RAW, 0, where);
  try {
    const index = libc.interfaceIndex(device);
    libc.bind(fd, linkAddress(index, etherType), where);
    for (const group of groups)
      libc.setOption(fd, PACKET_ADD_MEMBERSHIP, membership(index, group), where, SOL_PACKET);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  return { send: (frame) => void writeSync(fd, frame), ...receiverOf(fd, () => libc.close(fd)) };
}

/** A raw ICMP socket. Rejects with a `UdpError`. */
export async function openIcmpSocket(): Promise<IcmpSocket> {
  const libc = await loadLibc();
  const fd = libc.socket(AF_INET, SOCK_RAW, IPPROTO_ICMP, 'ICMP');
  return {
    send: (message, to) => libc.sendTo(fd, message, socketAddress(to, 0), `ICMP to ${to}`),
    ...receiverOf(fd, () => libc.close(fd)),
  };
}

function receiverOf(fd: number, close: () => void): Pick<LinkSocket, 'receive' | 'close'> {
  let open = true;
  return {
    receive() {
      const buffer = Buffer.allocUnsafe(MAX_FRAME);
      try {
        return open ? buffer.subarray(0, readSync(fd, buffer)) : undefined;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
        throw error;
      }
    },
    close() {
      if (open) close();
      open = false;
    },
  };
}

/** `struct sockaddr_ll`: family in host order, protocol in network order, interface number in host order. */
function linkAddress(index: number, etherType: number): Uint8Array {
  const bytes = Buffer.alloc(20);
  const little = os.endianness() === 'LE';
  if (little) bytes.writeUInt16LE(AF_PACKET);
  else bytes.writeUInt16BE(AF_PACKET);
  bytes.writeUInt16BE(etherType, 2);
  if (little) bytes.writeInt32LE(index, 4);
  else bytes.writeInt32BE(index, 4);
  return bytes;
}

/** `struct packet_mreq`: interface number, kind (0, one group) and address length in host order, the address. */
function membership(index: number, group: string): Uint8Array {
  const address = Buffer.from(group.replaceAll(':', ''), 'hex');
  const bytes = Buffer.alloc(16);
  if (os.endianness() === 'LE') {
    bytes.writeInt32LE(index);
    bytes.writeUInt16LE(address.length, 6);
  } else {
    bytes.writeInt32BE(index);
    bytes.writeUInt16BE(address.length, 6);
  }
  bytes.set(address, 8);
  return bytes;
}

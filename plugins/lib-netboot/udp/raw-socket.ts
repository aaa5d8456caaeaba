/** Raw sockets: whole Ethernet frames of one interface, and ICMP. They need CAP_NET_RAW. */

import { readSync, writeSync } from 'node:fs';
import os from 'node:os';
import { loadLibc } from './libc.ts';
import { socketAddress } from './open-udp.ts';

const AF_INET = 2;
const AF_PACKET = 17;
const SOCK_RAW = 3;
const IPPROTO_ICMP = 1;
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

/** A packet socket on one interface. `etherType` 0 receives nothing. Rejects with a `UdpError`. */
export async function openLinkSocket(device: string, etherType: number): Promise<LinkSocket> {
  const libc = await loadLibc();
  const where = `frames on ${device}`;
  const fd = libc.socket(AF_PACKET, SOCK_RAW, 0, where);
  try {
    libc.bind(fd, linkAddress(libc.interfaceIndex(device), etherType), where);
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

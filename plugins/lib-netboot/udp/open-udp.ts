/** UDP sockets tied to one network interface. */

import dgram from 'node:dgram';
import { isIPv6 } from 'node:net';
import os from 'node:os';
import { ipv4Bytes } from '../ipv4.ts';
import { type Libc, loadLibc, UdpError } from './libc.ts';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SO_REUSEADDR = 2;
const SO_BROADCAST = 6;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
/** Room for what a thousand machines send in one instant; the system counts about 2 KiB a packet. */
const RECEIVE_BYTES = 4 << 20;
const SO_BINDTODEVICE = 25;

export interface UdpEndpoint {
  /**
   * Linux interface name. The socket then receives only what arrives there, and what it sends to
   * 255.255.255.255 leaves there, which a plain socket cannot do. Needs no privilege of its own. IPv4 only.
   */
  readonly interface?: string;
  /** Local IPv4 or IPv6 address; default all of IPv4. */
  readonly address?: string;
  /** Local port; 0 picks one. */
  readonly port: number;
  /** Share the port with other sockets that say so too. Default false: a taken port is an error. */
  readonly share?: boolean;
}

/**
 * Opens and binds an IPv4 socket that may send broadcasts, or where `address` is of IPv6 one for IPv6 alone. Rejects with
 * {@link UdpError}; leaks nothing.
 */
export async function openUdp(endpoint: UdpEndpoint): Promise<dgram.Socket> {
  if (endpoint.address !== undefined && isIPv6(endpoint.address)) return openUdp6(endpoint, endpoint.address);
  if (endpoint.interface !== undefined) return (await openUdpByDescriptor(endpoint)).socket;
  const socket = dgram.createSocket({ type: 'udp4', reuseAddr: endpoint.share ?? false });
  return bound(socket, { port: endpoint.port, ...address(endpoint) }, nameOf(endpoint));
}

/** The same, IPv4 only, with its descriptor, for what dgram does not offer. The socket closes it. */
export async function openUdpByDescriptor(
  endpoint: UdpEndpoint,
): Promise<{ readonly socket: dgram.Socket; readonly fd: number }> {
  const where = nameOf(endpoint);
  const fd = await descriptor(endpoint, where);
  const socket = dgram.createSocket({ type: 'udp4', reuseAddr: endpoint.share ?? false });
  return { socket: await bound(socket, { fd }, where), fd };
}

function nameOf({ interface: device, address = '0.0.0.0', port }: UdpEndpoint): string {
  return `${address}:${port}${device === undefined ? '' : ` on ${device}`}`;
}

async function bound(socket: dgram.Socket, options: dgram.BindOptions, where: string): Promise<dgram.Socket> {
  try {
    await bind(socket, options);
    socket.setBroadcast(true);
    return socket;
  } catch (error) {
    socket.close();
    throw new UdpError((error as NodeJS.ErrnoException).code ?? 'EUNKNOWN', 'bind', where);
  }
}

async function openUdp6(
  { interface: device, port, share }: UdpEndpoint,
  address: string,
): Promise<dgram.Socket> {
  const where = `[${address}]:${port}`;
  if (device !== undefined) throw new UdpError('EINVAL', 'bind to an interface', where);
  const socket = dgram.createSocket({ type: 'udp6', ipv6Only: true, reuseAddr: share ?? false });
  try {
    await bind(socket, { address, port });
    return socket;
  } catch (error) {
    socket.close();
    throw new UdpError((error as NodeJS.ErrnoException).code ?? 'EUNKNOWN', 'bind', where);
  }
}

function address(endpoint: UdpEndpoint): { address?: string } {
  return endpoint.address === undefined ? {} : { address: endpoint.address };
}

function bind(socket: dgram.Socket, options: dgram.BindOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(options, () => {
      socket.off('error', reject);
      resolve();
    });
  });
}

/** A bound descriptor; dgram takes it over. */
async function descriptor(endpoint: UdpEndpoint, where: string): Promise<number> {
  const libc = await loadLibc();
  const fd = libc.socket(AF_INET, SOCK_DGRAM, 0, where);
  const one = nativeInt(1);
  try {
    libc.setOption(fd, SO_BROADCAST, one, where);
    if (endpoint.interface !== undefined) {
      growReceiveBuffer(libc, fd, where);
      libc.setOption(fd, SO_BINDTODEVICE, Buffer.from(`${endpoint.interface}\0`), where);
    }
    if (endpoint.share) libc.setOption(fd, SO_REUSEADDR, one, where);
    libc.bind(fd, socketAddress(endpoint.address ?? '0.0.0.0', endpoint.port), where);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** Past net.core.rmem_max where the process may (CAP_NET_ADMIN), else as far as that goes. */
function growReceiveBuffer(libc: Libc, fd: number, where: string): void {
  try {
    libc.setOption(fd, SO_RCVBUFFORCE, nativeInt(RECEIVE_BYTES), where);
  } catch {
    libc.setOption(fd, SO_RCVBUF, nativeInt(RECEIVE_BYTES), where);
  }
}

function nativeInt(value: number): Uint8Array {
  return new Uint8Array(Int32Array.of(value).buffer);
}

/** `struct sockaddr_in`: family in host order, port and address in network order. */
export function socketAddress(text: string, port: number): Uint8Array {
  const bytes = Buffer.alloc(16);
  if (os.endianness() === 'LE') bytes.writeUInt16LE(AF_INET);
  else bytes.writeUInt16BE(AF_INET);
  bytes.writeUInt16BE(port, 2);
  bytes.set(ipv4Bytes(text), 4);
  return bytes;
}

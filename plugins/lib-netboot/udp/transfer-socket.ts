/** A socket for one peer that sends many packets with one system call, where the system can. */

import type dgram from 'node:dgram';
import { isIPv6 } from 'node:net';
import { type Libc, loadLibc, UdpError } from './libc.ts';
import { openUdp, openUdpByDescriptor } from './open-udp.ts';
import { type Run, runsOf } from './runs.ts';

export interface TransferSocketOptions {
  /** Local address; default all of IPv4. */
  readonly address: string | undefined;
  readonly peer: { readonly address: string; readonly port: number };
  /** Length of the packets of a run, bytes; one that is shorter ends it. Without it nothing is sent in runs. */
  readonly segmentBytes?: number;
}

export interface TransferSocket {
  /** Connected: only the peer's packets arrive, and ICMP errors come as its `error` event. */
  readonly socket: dgram.Socket;
  /** Sends all in order. What does not fit into the system's buffer is lost, as it would be on the network. */
  send(packets: readonly Uint8Array[]): void;
}

/** UDP and its socket option for segments (Linux 4.18, udp(7)). */
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
/** What says that this system, this device or this path takes no segments. */
const NO_SEGMENTS: ReadonlySet<string> = new Set(['EINVAL', 'EIO', 'EMSGSIZE', 'ENOPROTOOPT', 'EOPNOTSUPP']);
/** The system's buffers are full: like a loss on the way. */
const FULL: ReadonlySet<string> = new Set(['EAGAIN', 'ENOBUFS']);

/** Opens, binds to a port of its own and connects. Rejects with the system's error; leaks nothing. */
export async function openTransferSocket(options: TransferSocketOptions): Promise<TransferSocket> {
  const { address, peer, segmentBytes } = options;
  const endpoint = { port: 0, ...(address === undefined ? {} : { address }) };
  if (segmentBytes === undefined || (address !== undefined && isIPv6(address))) {
    const socket = await connected(await openUdp(endpoint), peer);
    return { socket, send: (packets) => sendEach(socket, packets) };
  }
  const opened = await openUdpByDescriptor(endpoint);
  const socket = await connected(opened.socket, peer);
  return { socket, send: sender(await loadLibc(), opened.fd, socket, segmentBytes) };
}

/** Sends runs in segments; the rest, and everything once that was refused, packet by packet. */
function sender(libc: Libc, fd: number, socket: dgram.Socket, segmentBytes: number): TransferSocket['send'] {
  let segments = true;
  let set = 0;
  /** The system would cut every longer packet, also those that are one. */
  const setSegment = (bytes: number): void => {
    if (set === bytes) return;
    libc.setOption(fd, UDP_SEGMENT, new Uint8Array(Int32Array.of(bytes).buffer), 'UDP_SEGMENT', SOL_UDP);
    set = bytes;
  };
  const sendPlainly = (packets: readonly Uint8Array[]): void => {
    if (packets.some((packet) => packet.length > segmentBytes)) setSegment(0);
    sendEach(socket, packets);
  };
  const sendRun = ({ bytes, packets }: Run): void => {
    try {
      setSegment(segmentBytes);
      libc.send(fd, bytes, 'a TFTP client');
    } catch (error) {
      const code = error instanceof UdpError ? error.code : '';
      if (FULL.has(code)) return;
      if (NO_SEGMENTS.has(code)) segments = false;
      // Packet by packet any other error, such as that nobody listens any more, reaches the socket's listeners.
      sendPlainly(packets);
    }
  };
  return (packets) => {
    for (const run of runsOf(packets, segmentBytes)) {
      if (segments && run.packets.length > 1) sendRun(run);
      else sendPlainly(run.packets);
    }
  };
}

function sendEach(socket: dgram.Socket, packets: readonly Uint8Array[]): void {
  for (const packet of packets) socket.send(packet);
}

function connected(socket: dgram.Socket, peer: TransferSocketOptions['peer']): Promise<dgram.Socket> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => {
      socket.close();
      reject(error);
    };
    socket.once('error', failed);
    socket.connect(peer.port, peer.address, () => {
      socket.off('error', failed);
      resolve(socket);
    });
  });
}

/**
 * The DHCP relay in front of the fleet (RFC 2131 §4.1, RFC 3046), on a thread of its own, so that the time an answer
 * takes is the server's and not that of a busy fleet. Takes a client's message as bytes, gives back
 * `{xid, bytes, milliseconds}` (an answer, and how long after the last forwarded message of that transaction it came).
 */

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { ipv4Bytes, openUdp } from '@overdub/lib-netboot';
import type { RelayOrder } from './relay.ts';

const { address, server } = workerData as RelayOrder;
const port = parentPort as MessagePort;
const forwarded = new Map<number, number>();

const socket = await openUdp({ address, port: 67 });
socket.setRecvBufferSize(8 << 20);
socket.setSendBufferSize(8 << 20);
socket.on('message', (bytes) => {
  const now = performance.now();
  if (bytes.length < 240 || bytes[0] !== 2) return;
  const xid = bytes.readUInt32BE(4);
  const at = forwarded.get(xid);
  port.postMessage({ xid, bytes, milliseconds: at === undefined ? undefined : now - at });
});
port.on('message', (bytes: Uint8Array) => {
  const message = Buffer.from(bytes);
  message[3] = (message[3] ?? 0) + 1;
  message.set(ipv4Bytes(address), 24);
  forwarded.set(message.readUInt32BE(4), performance.now());
  socket.send(message, 67, server);
});
port.postMessage({ ready: true });

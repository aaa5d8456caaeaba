/** Other DHCP servers on a network that we mean to have for ourselves. */

import { randomInt } from 'node:crypto';
import type dgram from 'node:dgram';
import { type Clock, OverdubError } from '@overdub/core/agent';
import {
  addressOption,
  type DhcpPacket,
  decodeDhcp,
  encodeDhcp,
  MESSAGE,
  messageType,
  OPTION,
} from '@overdub/lib-netboot';
import type { Ports } from './options.ts';
import type { Site } from './sites.ts';

/**
 * Asks for an address and listens. `socket` is bound to the client port of the interface and stays open.
 * Resolves with the first other server's address, or `undefined` after `seconds` of silence.
 */
export async function findOtherServer(
  socket: dgram.Socket,
  site: Site,
  options: { ports: Ports; seconds: number; clock: Clock; signal: AbortSignal },
): Promise<string | undefined> {
  const { ports, seconds, clock, signal } = options;
  let found: string | undefined;
  const heard = new AbortController();
  const listener = (bytes: Uint8Array): void => {
    found ??= foreignServer(decodeDhcp(bytes).packet, site.address);
    if (found !== undefined) heard.abort();
  };
  socket.on('message', listener);
  try {
    const pauses = [Math.min(1, seconds / 2), seconds - Math.min(1, seconds / 2)];
    for (const pause of pauses) {
      if (found !== undefined) break;
      await sendTo(socket, discoverPacket(site), ports.server);
      await clock.sleep(pause * 1000, AbortSignal.any([signal, heard.signal])).catch((error: unknown) => {
        if (!heard.signal.aborted) throw error;
      });
    }
    return found;
  } finally {
    socket.off('message', listener);
  }
}

/** The address of the server that sent this reply, if it leases addresses and is not us. */
export function foreignServer(packet: DhcpPacket | undefined, ours: string): string | undefined {
  if (packet === undefined || packet.op !== 2 || packet.yiaddr === '0.0.0.0') return undefined;
  const type = messageType(packet);
  if (type !== MESSAGE.offer && type !== MESSAGE.ack) return undefined;
  const server = addressOption(packet, OPTION.serverId) ?? packet.siaddr;
  return server === ours ? undefined : server;
}

/** What start fails with. */
export function otherServerError(address: string, site: Site): OverdubError {
  return new OverdubError(
    'CONFLICT',
    `boot-pxe: another DHCP server, ${address}, answers on ${site.interface}; two of them hand out the same addresses twice.`,
    `Set mode: 'proxy' in boot-pxe to work beside it; or switch it off on this network and keep mode: 'server'.`,
    { plugin: 'boot-pxe' },
  );
}

function discoverPacket(site: Site): Uint8Array {
  const chaddr = Uint8Array.from(site.mac.split(':').map((byte) => Number.parseInt(byte, 16)));
  return encodeDhcp({
    op: 1,
    xid: randomInt(2 ** 32 - 1),
    flags: 0x8000,
    chaddr,
    options: [
      [OPTION.messageType, Uint8Array.of(MESSAGE.discover)],
      [OPTION.parameterList, Uint8Array.of(OPTION.subnetMask, OPTION.router)],
    ],
  }).bytes;
}

function sendTo(socket: dgram.Socket, bytes: Uint8Array, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(bytes, port, '255.255.255.255', (error) => (error ? reject(error) : resolve()));
  });
}

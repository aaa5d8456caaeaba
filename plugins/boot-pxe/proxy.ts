/** proxyDHCP (PXE 2.1 §2.2): boot files beside somebody else's DHCP server, never an address. */

import {
  addressOption,
  type DhcpPacket,
  MESSAGE,
  type MessageType,
  messageType,
  OPTION,
} from '@overdub/lib-netboot';
import { callerOf } from './caller.ts';
import { type Desk, decideBoot, logOffer } from './desk.ts';
import { bootOptions, type Destination, destinationOf, makeReply, type Reply } from './reply.ts';

/** A request on port 67. Only DISCOVER, and REQUESTs that name us as their server, concern a proxy. */
export async function handleProxy(packet: DhcpPacket, desk: Desk): Promise<Reply | undefined> {
  const type = messageType(packet);
  if (type === MESSAGE.discover) return bootReply(packet, MESSAGE.offer, desk);
  const chosen = addressOption(packet, OPTION.serverId) === desk.site.address;
  return type === MESSAGE.request && chosen ? bootReply(packet, MESSAGE.ack, desk) : undefined;
}

/** A request on port 4011, where firmware that wants a boot server asks; answered where it came from. */
export async function handleBootServer(
  packet: DhcpPacket,
  from: Destination,
  desk: Desk,
): Promise<Reply | undefined> {
  const type = messageType(packet);
  if (type !== MESSAGE.request && type !== MESSAGE.inform) return undefined;
  return bootReply(packet, MESSAGE.ack, desk, from);
}

async function bootReply(
  packet: DhcpPacket,
  type: MessageType,
  desk: Desk,
  from?: Destination,
): Promise<Reply | undefined> {
  const caller = packet.op === 1 ? callerOf(packet) : undefined;
  if (caller === undefined || caller.client === 'plain') return undefined;
  const decision = await decideBoot(caller, desk);
  if (decision.kind !== 'file') return undefined;
  logOffer(caller, decision.name, desk);
  const { site } = desk;
  const quirks = desk.quirksOf(caller.mac);
  const to = from ?? destinationOf(packet, type, desk.ports, quirks);
  const options = bootOptions(packet, caller, decision.name, site, quirks, 'proxy');
  return makeReply(packet, {
    type,
    site,
    to,
    options,
    bootFile: decision.name,
    bootFileIn: quirks.bootFile,
  });
}

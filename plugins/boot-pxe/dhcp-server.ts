/** The full DHCP server (RFC 2131) of an isolated network: leases, reservations, boot files. */

import {
  addressOption,
  broadcastAddress,
  type DhcpPacket,
  ipv4Bytes,
  MESSAGE,
  type MessageType,
  messageType,
  OPTION,
  sameNetwork,
  textOption,
  uint32Option,
} from '@overdub/lib-netboot';
import { type AddressPlan, type Claims, chooseAddress, isUsable, mayHave } from './address-choice.ts';
import { type Caller, callerOf } from './caller.ts';
import { type BootDecision, type Desk, decideBoot } from './desk.ts';
import type { Lease, LeaseBook } from './lease-book.ts';
import { bootOptions, destinationOf, IPXE_NO_PXEDHCP, makeReply, type Reply } from './reply.ts';

const UNSET = '0.0.0.0';

/** What server mode needs beyond {@link Desk}. */
export interface LeaseDesk extends Desk {
  readonly plan: AddressPlan;
  readonly book: LeaseBook;
  readonly leaseSeconds: number;
  readonly router: string | undefined;
  readonly dns: readonly string[];
  /** Makes the book durable; an ACK waits for it. */
  save(): Promise<void>;
  /** A client chose another server: there is one on this network. */
  foreignServer(address: string): void;
}

interface Turn {
  readonly packet: DhcpPacket;
  readonly caller: Caller;
  readonly claims: Claims;
  readonly hostname: string | undefined;
  readonly now: number;
  readonly desk: LeaseDesk;
}

/**
 * Answers one message, or stays silent. Changes the book (offers, leases) and makes it durable before it
 * returns an ACK. Rejects only when the core or the disk fails: the client then asks again.
 */
export async function handleDhcp(packet: DhcpPacket, desk: LeaseDesk): Promise<Reply | undefined> {
  const type = messageType(packet);
  const caller = packet.op === 1 ? callerOf(packet) : undefined;
  if (type === undefined || caller === undefined || isElsewhere(packet, desk)) return undefined;
  if (type === MESSAGE.decline) return decline(packet, caller, desk);
  if (type === MESSAGE.release) return release(packet, caller, desk);
  if (type === MESSAGE.discover) return discover(packet, caller, desk);
  if (type === MESSAGE.request) return request(packet, caller, desk);
  return type === MESSAGE.inform ? inform(await takeTurn(packet, caller, desk)) : undefined;
}

function isElsewhere(packet: DhcpPacket, desk: LeaseDesk): boolean {
  const { giaddr } = packet;
  if (giaddr === UNSET || sameNetwork(giaddr, desk.plan.ours, desk.plan.netmask)) return false;
  if (desk.firstTime(`relay ${giaddr}`)) {
    desk.log.warn(
      { giaddr },
      'a relay forwards requests of a network that boot-pxe has no pool for; not answered',
    );
  }
  return true;
}

/** The last thing awaited before a decision, so that choosing and binding an address is one step. */
async function takeTurn(packet: DhcpPacket, caller: Caller, desk: LeaseDesk): Promise<Turn> {
  const [reservation, reservations] = await Promise.all([
    desk.netboot.reservation(caller.mac),
    desk.netboot.reservedAddresses(),
  ]);
  const claimed = reservation?.address;
  const holder = claimed === undefined ? undefined : desk.book.holder(claimed, desk.clock.now());
  const twin =
    holder !== undefined && holder.mac !== caller.mac && holder.state === 'bound'
      ? (await desk.netboot.reservation(holder.mac))?.address === claimed
      : false;
  return {
    packet,
    caller,
    desk,
    now: desk.clock.now(),
    hostname: reservation?.hostname,
    claims: {
      reserved: twin ? undefined : grantable(claimed, holder?.state, caller, desk),
      reservations: new Set(reservations),
    },
  };
}

function grantable(
  address: string | undefined,
  state: Lease['state'] | undefined,
  caller: Caller,
  desk: LeaseDesk,
): string | undefined {
  if (address === undefined) return undefined;
  const problem =
    state === 'declined'
      ? 'is used by something else on the network'
      : isUsable(address, desk.plan)
        ? undefined
        : 'is not a free address of the network that boot-pxe serves';
  if (problem === undefined) return address;
  if (desk.firstTime(`reservation ${address}`)) {
    desk.log.warn(
      { mac: caller.mac, address },
      `the server's address ${address} ${problem}; its machine gets one of the pool. Change it with overdub server set.`,
    );
  }
  return undefined;
}

async function discover(packet: DhcpPacket, caller: Caller, desk: LeaseDesk): Promise<Reply | undefined> {
  const boot = await decideBoot(caller, desk);
  if (boot.kind === 'silent') return undefined;
  const turn = await takeTurn(packet, caller, desk);
  const { claims, now } = turn;
  const requested = addressOption(packet, OPTION.requestedAddress);
  const address = chooseAddress(caller.mac, requested, claims, desk.plan, desk.book, now);
  if (address === undefined) {
    if (desk.firstTime('exhausted')) {
      desk.log.error(
        { mac: caller.mac, pool: desk.plan.pool },
        'no free address: enlarge the pool of boot-pxe, or shorten leaseSeconds',
      );
    }
    return undefined;
  }
  desk.book.offer(address, caller.mac, now);
  return leaseReply(turn, MESSAGE.offer, address, boot);
}

async function request(packet: DhcpPacket, caller: Caller, desk: LeaseDesk): Promise<Reply | undefined> {
  const server = addressOption(packet, OPTION.serverId);
  if (server !== undefined && server !== desk.plan.ours) {
    desk.book.withdrawOffers(caller.mac);
    desk.foreignServer(server);
    return undefined;
  }
  const renewing = packet.ciaddr !== UNSET;
  const wanted = renewing ? packet.ciaddr : addressOption(packet, OPTION.requestedAddress);
  if (wanted === undefined) return undefined;
  const boot = renewing ? ({ kind: 'none' } as const) : await decideBoot(caller, desk);
  if (boot.kind === 'silent') return undefined;
  const turn = await takeTurn(packet, caller, desk);
  const { claims, now } = turn;
  // A machine that comes up with an old address moves to its server's; one at work keeps what it has.
  const comesUp = !renewing && server === undefined;
  const outdated = comesUp && claims.reserved !== undefined && wanted !== claims.reserved;
  if (outdated || !mayHave(wanted, caller.mac, claims, desk.plan, desk.book, now)) return nak(turn, wanted);
  desk.book.bind({
    mac: caller.mac,
    address: wanted,
    expiresAt: now + desk.leaseSeconds * 1000,
    ...hostnameOf(turn),
  });
  await desk.save();
  return leaseReply(turn, MESSAGE.ack, wanted, boot);
}

function hostnameOf(turn: Turn): { hostname?: string } {
  const hostname = turn.hostname ?? textOption(turn.packet, OPTION.hostName)?.slice(0, 63);
  return hostname === undefined ? {} : { hostname };
}

function nak(turn: Turn, wanted: string): Reply {
  const { packet, caller, desk } = turn;
  desk.log.info({ mac: caller.mac, address: wanted }, 'this machine may not have the address it asks for');
  return makeReply(packet, {
    type: MESSAGE.nak,
    site: desk.site,
    to: destinationOf(packet, MESSAGE.nak, desk.ports),
    options: [[OPTION.message, Buffer.from(`${wanted} is not yours here`)]],
  });
}

/** An address that came from elsewhere, and only the settings are wanted (RFC 2131 §4.3.5). */
function inform(turn: Turn): Reply | undefined {
  if (turn.packet.ciaddr === UNSET) return undefined;
  return makeReply(turn.packet, {
    type: MESSAGE.ack,
    site: turn.desk.site,
    to: destinationOf(turn.packet, MESSAGE.ack, turn.desk.ports),
    options: networkOptions(turn),
  });
}

async function decline(packet: DhcpPacket, caller: Caller, desk: LeaseDesk): Promise<undefined> {
  const address = addressOption(packet, OPTION.requestedAddress);
  if (address === undefined || addressOption(packet, OPTION.serverId) !== desk.plan.ours) return;
  if (!desk.book.decline(address, caller.mac, desk.clock.now() + desk.leaseSeconds * 1000)) return;
  desk.log.warn(
    { mac: caller.mac, address },
    'the address is in use by something that has no lease for it; set aside',
  );
  await desk.save();
}

async function release(packet: DhcpPacket, caller: Caller, desk: LeaseDesk): Promise<undefined> {
  if (desk.book.release(packet.ciaddr, caller.mac)) await desk.save();
}

function leaseReply(turn: Turn, type: MessageType, address: string, boot: BootDecision): Reply {
  const { packet, caller, desk } = turn;
  const seconds = desk.leaseSeconds;
  const bootFile = boot.kind === 'file' ? boot.name : undefined;
  const booting =
    bootFile === undefined
      ? []
      : bootOptions(packet, caller, bootFile, desk.site, desk.quirksOf(caller.mac), 'server');
  desk.log.info(
    {
      mac: caller.mac,
      client: caller.client,
      address,
      ...(bootFile === undefined ? {} : { file: bootFile }),
    },
    type === MESSAGE.ack ? 'leased' : 'offering an address',
  );
  return makeReply(packet, {
    type,
    site: desk.site,
    to: destinationOf(packet, type, desk.ports),
    yiaddr: address,
    ...(bootFile === undefined ? {} : { bootFile }),
    options: [
      [OPTION.leaseTime, uint32Option(seconds)],
      [OPTION.subnetMask, ipv4Bytes(desk.plan.netmask)],
      ...booting,
      ...(caller.client === 'ipxe' ? ([[OPTION.ipxe, IPXE_NO_PXEDHCP]] as const) : []),
      ...networkOptions(turn),
      [OPTION.renewalTime, uint32Option(seconds / 2)],
      [OPTION.rebindingTime, uint32Option((seconds * 7) / 8)],
    ],
  });
}

function networkOptions(turn: Turn): readonly (readonly [number, Uint8Array])[] {
  const { desk, hostname } = turn;
  const { plan, router, dns } = desk;
  const options: (readonly [number, Uint8Array])[] = [];
  if (messageType(turn.packet) === MESSAGE.inform) options.push([OPTION.subnetMask, ipv4Bytes(plan.netmask)]);
  if (router !== undefined) options.push([OPTION.router, ipv4Bytes(router)]);
  if (dns.length > 0) options.push([OPTION.dns, Buffer.concat(dns.map(ipv4Bytes))]);
  if (hostname !== undefined) options.push([OPTION.hostName, Buffer.from(hostname)]);
  options.push([OPTION.broadcastAddress, ipv4Bytes(broadcastAddress(plan.ours, plan.netmask))]);
  return options;
}

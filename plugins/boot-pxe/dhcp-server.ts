/** The full DHCP server (RFC 2131) of an isolated network: leases, reservations, boot files. */

import {
  addressOption,
  broadcastAddress,
  type DhcpPacket,
  ipv4Bytes,
  MESSAGE,
  type MessageType,
  messageType,
  nodeIdentifier,
  OPTION,
  relayInformation,
  sameNetwork,
  textOption,
  uint32Option,
} from '@overdub/lib-netboot';
import { type Claims, chooseAddress, isUsable, mayHave } from './address-choice.ts';
import { type Caller, callerOf } from './caller.ts';
import type { ConflictProbe } from './conflict-probe.ts';
import { type BootDecision, type Desk, decideBoot } from './desk.ts';
import type { Lease, LeaseBook } from './lease-book.ts';
import { bootOptions, destinationOf, IPXE_NO_PXEDHCP, makeReply, type Reply } from './reply.ts';
import { placeOf, type Subnet, subnetFor } from './subnets.ts';

const UNSET = '0.0.0.0';
/** The share of a lease that must be left for it to be confirmed without a write. */
const YOUNG = 0.9;

/** What server mode needs beyond {@link Desk}. */
export interface LeaseDesk extends Desk {
  readonly subnets: readonly Subnet[];
  /** All our addresses, whichever interface they are on. */
  readonly ours: ReadonlySet<string>;
  /** One for all interfaces: a machine has one lease, wherever it asks. */
  readonly book: LeaseBook;
  readonly probe: ConflictProbe;
  /** Makes the book durable; an ACK waits for it. */
  save(): Promise<void>;
  /** A client chose another server: there is one on this network. */
  foreignServer(address: string): void;
}

/** A message in its place. */
interface Question {
  readonly packet: DhcpPacket;
  readonly caller: Caller;
  readonly subnet: Subnet;
  readonly desk: LeaseDesk;
}

interface Turn extends Question {
  readonly claims: Claims;
  readonly hostname: string | undefined;
  readonly now: number;
}

/**
 * Answers one message, or stays silent. Changes the book (offers, leases) and makes it durable before it
 * returns an ACK. Rejects only when the core or the disk fails: the client then asks again.
 */
export async function handleDhcp(packet: DhcpPacket, desk: LeaseDesk): Promise<Reply | undefined> {
  const type = messageType(packet);
  const caller = packet.op === 1 ? callerOf(packet) : undefined;
  if (type === undefined || caller === undefined) return undefined;
  const subnet = subnetFor(packet, desk.site, desk.subnets);
  if (subnet === undefined) return elsewhere(packet, desk);
  const question = { packet, caller, subnet, desk };
  if (type === MESSAGE.decline) return decline(question);
  if (type === MESSAGE.release) return release(question);
  if (type === MESSAGE.discover) return discover(question);
  if (type === MESSAGE.request) return request(question);
  return type === MESSAGE.inform ? inform(await takeTurn(question)) : undefined;
}

function elsewhere(packet: DhcpPacket, desk: LeaseDesk): undefined {
  if (packet.giaddr === UNSET || !desk.firstTime(`relay ${placeOf(packet)}`)) return;
  desk.log.warn(
    { giaddr: packet.giaddr, network: placeOf(packet) },
    'a relay forwards requests of a network that boot-pxe has no pool for; not answered. Add it to `subnets`.',
  );
}

/** The last thing awaited before a decision, so that choosing and binding an address is one step. */
async function takeTurn(question: Question): Promise<Turn> {
  const { caller, desk } = question;
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
    ...question,
    now: desk.clock.now(),
    hostname: reservation?.hostname,
    claims: {
      reserved: twin ? undefined : grantable(claimed, holder?.state, question),
      reservations: new Set(reservations),
    },
  };
}

function grantable(
  address: string | undefined,
  state: Lease['state'] | undefined,
  { caller, desk, subnet }: Question,
): string | undefined {
  if (address === undefined) return undefined;
  const problem =
    state === 'declined'
      ? 'is used by something else on the network'
      : isUsable(address, subnet)
        ? undefined
        : `is not a free address of its network ${subnet.network}`;
  if (problem === undefined) return address;
  if (desk.firstTime(`reservation ${address}`)) {
    desk.log.warn(
      { mac: caller.mac, address },
      `the server's address ${address} ${problem}; its machine gets one of the pool. Change it with overdub server set.`,
    );
  }
  return undefined;
}

async function discover(question: Question): Promise<Reply | undefined> {
  const { packet, caller, desk, subnet } = question;
  const boot = await decideBoot(caller, desk);
  if (boot.kind === 'silent') return undefined;
  const turn = await takeTurn(question);
  const { claims, now } = turn;
  const requested = addressOption(packet, OPTION.requestedAddress);
  const address = chooseAddress(caller.mac, requested, claims, subnet, desk.book, now);
  if (address === undefined) {
    if (desk.firstTime(`exhausted ${subnet.network}`)) {
      desk.log.error(
        { mac: caller.mac, pool: subnet.pool },
        'no free address: enlarge the pool of boot-pxe, or shorten leaseSeconds',
      );
    }
    return undefined;
  }
  const holdsIt = desk.book.holder(address, now)?.mac === caller.mac;
  desk.book.offer(address, caller.mac, now);
  if (!holdsIt) desk.probe.begin(address, caller.mac, packet.giaddr === UNSET ? 'link' : 'relayed');
  return leaseReply(turn, MESSAGE.offer, address, boot);
}

async function request(question: Question): Promise<Reply | undefined> {
  const { packet, caller, desk, subnet } = question;
  const server = addressOption(packet, OPTION.serverId);
  if (server !== undefined && server !== serverIdOf(packet, desk)) {
    desk.book.withdrawOffers(caller.mac);
    if (!desk.ours.has(server)) desk.foreignServer(server);
    return undefined;
  }
  const renewing = packet.ciaddr !== UNSET;
  const wanted = renewing ? packet.ciaddr : addressOption(packet, OPTION.requestedAddress);
  if (wanted === undefined) return undefined;
  const boot = renewing ? ({ kind: 'none' } as const) : await decideBoot(caller, desk);
  if (boot.kind === 'silent') return undefined;
  // A conflict found meanwhile has set the address aside.
  await desk.probe.settled(wanted);
  const turn = await takeTurn(question);
  const { claims, now } = turn;
  // A machine that comes up with an old address moves to its server's; one at work keeps what it has.
  const comesUp = !renewing && server === undefined;
  const outdated = comesUp && claims.reserved !== undefined && wanted !== claims.reserved;
  if (outdated || !mayHave(wanted, caller.mac, claims, subnet, desk.book, now)) return nak(turn, wanted);
  const lease = {
    mac: caller.mac,
    address: wanted,
    expiresAt: now + subnet.leaseSeconds * 1000,
    ...hostnameOf(turn),
    ...clientIdOf(turn),
  };
  if (!isAsGood(desk.book.ofMachine(caller.mac), lease, turn)) {
    desk.book.bind(lease);
    await desk.save();
  }
  return leaseReply(turn, MESSAGE.ack, wanted, boot);
}

/**
 * A lease that is young still is confirmed as it stands, with the time it has left: firmware, iPXE and ramdisk of one
 * boot ask one after the other, and only the first answer waits for the disk.
 */
function isAsGood(held: Lease | undefined, wanted: Omit<Lease, 'state'>, { subnet, now }: Turn): boolean {
  return (
    held?.state === 'bound' &&
    held.address === wanted.address &&
    held.hostname === wanted.hostname &&
    held.clientId === wanted.clientId &&
    held.expiresAt - now > subnet.leaseSeconds * 1000 * YOUNG
  );
}

function hostnameOf(turn: Turn): { hostname?: string } {
  const hostname = turn.hostname ?? textOption(turn.packet, OPTION.hostName)?.slice(0, 63);
  return hostname === undefined ? {} : { hostname };
}

/** Cloned machine-ids do no harm here, but elsewhere they do: said once a pair. */
function clientIdOf({ packet, caller, desk, now }: Turn): { clientId?: string } {
  const clientId = nodeIdentifier(packet);
  if (clientId === undefined) return {};
  const twin = desk.book.twinOf(caller.mac, clientId, now);
  if (twin !== undefined && desk.firstTime(`twins ${[caller.mac, twin.mac].sort()}`)) {
    desk.log.warn(
      { mac: caller.mac, other: twin.mac, clientId },
      'two machines send one client identifier: a copied /etc/machine-id? Other DHCP servers give them one address.',
    );
  }
  return { clientId };
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

/** What our replies to this request call us (option 54). */
function serverIdOf(packet: DhcpPacket, desk: LeaseDesk): string {
  return relayInformation(packet).serverIdOverride ?? desk.site.address;
}

/**
 * An address that came from elsewhere, and only the settings are wanted (RFC 2131 §4.3.5). Only of a network that is
 * served: others would hear from us what they never asked.
 */
function inform(turn: Turn): Reply | undefined {
  const { ciaddr } = turn.packet;
  if (!sameNetwork(ciaddr, turn.subnet.network, turn.subnet.netmask)) return undefined;
  return makeReply(turn.packet, {
    type: MESSAGE.ack,
    site: turn.desk.site,
    to: destinationOf(turn.packet, MESSAGE.ack, turn.desk.ports),
    options: networkOptions(turn),
  });
}

async function decline({ packet, caller, desk, subnet }: Question): Promise<undefined> {
  const address = addressOption(packet, OPTION.requestedAddress);
  if (address === undefined || addressOption(packet, OPTION.serverId) !== serverIdOf(packet, desk)) return;
  if (!desk.book.decline(address, caller.mac, desk.clock.now() + subnet.leaseSeconds * 1000)) return;
  desk.log.warn(
    { mac: caller.mac, address },
    'the address is in use by something that has no lease for it; set aside',
  );
  await desk.save();
}

async function release({ packet, caller, desk }: Question): Promise<undefined> {
  if (desk.book.release(packet.ciaddr, caller.mac)) await desk.save();
}

function leaseReply(turn: Turn, type: MessageType, address: string, boot: BootDecision): Reply {
  const { packet, caller, desk, subnet } = turn;
  const lease = type === MESSAGE.ack ? desk.book.ofMachine(caller.mac) : undefined;
  const seconds = lease === undefined ? subnet.leaseSeconds : Math.floor((lease.expiresAt - turn.now) / 1000);
  const bootFile = boot.kind === 'file' ? boot.name : undefined;
  const quirks = desk.quirksOf(caller.mac);
  const booting =
    bootFile === undefined ? [] : bootOptions(packet, caller, bootFile, desk.site, quirks, 'server');
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
    to: destinationOf(packet, type, desk.ports, { unicast: quirks.unicast, yiaddr: address }),
    yiaddr: address,
    ...(bootFile === undefined ? {} : { bootFile, bootFileIn: quirks.bootFile }),
    options: [
      [OPTION.leaseTime, uint32Option(seconds)],
      [OPTION.subnetMask, ipv4Bytes(subnet.netmask)],
      ...booting,
      ...(caller.client === 'ipxe' ? ([[OPTION.ipxe, IPXE_NO_PXEDHCP]] as const) : []),
      ...networkOptions(turn),
      [OPTION.renewalTime, uint32Option(seconds / 2)],
      [OPTION.rebindingTime, uint32Option((seconds * 7) / 8)],
    ],
  });
}

function networkOptions(turn: Turn): readonly (readonly [number, Uint8Array])[] {
  const { subnet, hostname } = turn;
  const { network, netmask, router, dns } = subnet;
  const options: (readonly [number, Uint8Array])[] = [];
  if (messageType(turn.packet) === MESSAGE.inform) options.push([OPTION.subnetMask, ipv4Bytes(netmask)]);
  if (router !== undefined) options.push([OPTION.router, ipv4Bytes(router)]);
  if (dns.length > 0) options.push([OPTION.dns, Buffer.concat(dns.map(ipv4Bytes))]);
  if (hostname !== undefined) options.push([OPTION.hostName, Buffer.from(hostname)]);
  options.push([OPTION.broadcastAddress, ipv4Bytes(broadcastAddress(network, netmask))]);
  return options;
}

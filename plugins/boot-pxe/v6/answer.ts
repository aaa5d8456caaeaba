/** What a DHCPv6 message is answered (RFC 8415 §18.3, RFC 5970): boot URLs, and addresses where we have a pool. */

import {
  type Association6,
  associations6,
  decodeDhcp6,
  encodeDhcp6,
  encodeOptions6,
  formatIpv6,
  isRelay6,
  MESSAGE6,
  type Message6,
  OPTION6,
  type Options6,
  option6,
  parseIpv6,
  type RelayMessage6,
} from '@overdub/lib-netboot';
import { type Desk, decideBoot, logOffer } from '../desk.ts';
import type { AddressPool6 } from './addresses.ts';
import { callerOf6 } from './caller.ts';

/** What answers are made from. The desk's base URL is one that IPv6 reaches. */
export interface Desk6 {
  readonly desk: Desk;
  /** `tftp://[fd00::1]/`: what boot files by relative names are fetched under. */
  readonly tftpUrl: string;
  /** Our DUID. */
  readonly serverId: Uint8Array;
  /** Absent: another server has the addresses, we only name what to boot. */
  readonly pool: AddressPool6 | undefined;
  readonly leaseSeconds: number;
  readonly dns: readonly string[];
}

const STATUS = { success: 0, noAddresses: 2, notOnLink: 4 } as const;
const MOST_RELAYS = 8;
type Option = Options6[number];

/** `undefined`: no answer. A relayed message is answered as its relays sent it, each in its own wrap (§19.3). */
export async function answer6(
  message: Message6 | RelayMessage6,
  peer: Uint8Array | undefined,
  desk: Desk6,
  relayed?: Options6,
  depth = 0,
): Promise<Message6 | RelayMessage6 | undefined> {
  if (!isRelay6(message)) return answerClient(message, peer, desk, relayed);
  const inner = option6(message.options, OPTION6.relayMessage);
  if (message.type !== MESSAGE6.relayForward || inner === undefined || depth >= MOST_RELAYS) return undefined;
  const client = decodeDhcp6(inner);
  const reply = client && (await answer6(client, message.peer, desk, message.options, depth + 1));
  if (reply === undefined) return undefined;
  const id = option6(message.options, OPTION6.interfaceId);
  const options: Option[] = [
    ...(id === undefined ? [] : [[OPTION6.interfaceId, id] as const]),
    [OPTION6.relayMessage, encodeDhcp6(reply)],
  ];
  return { ...message, type: MESSAGE6.relayReply, options };
}

async function answerClient(
  message: Message6,
  peer: Uint8Array | undefined,
  desk: Desk6,
  relayed: Options6 | undefined,
): Promise<Message6 | undefined> {
  const { type, transaction, options } = message;
  const clientId = option6(options, OPTION6.clientId);
  if (!isSound(message, clientId, desk.serverId)) return undefined;
  const caller = callerOf6(options, peer, relayed);
  const boots = caller !== undefined && caller.client !== 'plain';
  // Without a pool we are a guest: who does not boot is the other server's alone.
  const asks = type === MESSAGE6.solicit || type === MESSAGE6.request || type === MESSAGE6.informationRequest;
  if (desk.pool === undefined && !(boots && asks)) return undefined;
  const decision = boots && asks ? await decideBoot(caller, desk.desk) : { kind: 'none' as const };
  if (decision.kind === 'silent' && desk.pool === undefined) return undefined;
  const url = decision.kind === 'file' ? urlOf(decision.name, desk) : undefined;
  // Firmware takes a file by TFTP from the server alone that gave it its address.
  if (desk.pool === undefined && url === undefined) return undefined;
  if (caller !== undefined && url !== undefined) logOffer(caller, url, desk.desk);
  const addresses = desk.pool === undefined ? [] : addressOptions(message, clientId, desk, desk.pool);
  const rapid =
    type === MESSAGE6.solicit &&
    option6(options, OPTION6.rapidCommit) !== undefined &&
    desk.pool !== undefined;
  return {
    type: type === MESSAGE6.solicit && !rapid ? MESSAGE6.advertise : MESSAGE6.reply,
    transaction,
    options: [
      ...(clientId === undefined ? [] : [[OPTION6.clientId, clientId] as const]),
      [OPTION6.serverId, desk.serverId],
      ...(rapid ? [[OPTION6.rapidCommit, new Uint8Array(0)] as const] : []),
      ...addresses,
      ...dnsOption(desk.dns),
      ...(url === undefined ? [] : bootOptions6(url, caller?.client === 'http')),
    ],
  };
}

function urlOf(name: string, { pool, tftpUrl }: Desk6): string | undefined {
  if (/^https?:/.test(name)) return name;
  return pool === undefined ? undefined : `${tftpUrl}${name.replace(/^\/+/, '')}`;
}

/** §16.2 to §16.12: who must name a server names us, who must name none names none. */
function isSound({ type, options }: Message6, clientId: Uint8Array | undefined, ours: Uint8Array): boolean {
  const server = option6(options, OPTION6.serverId);
  const toUs = server !== undefined && Buffer.from(server).equals(ours);
  switch (type) {
    case MESSAGE6.solicit:
    case MESSAGE6.confirm:
    case MESSAGE6.rebind:
      return clientId !== undefined && server === undefined;
    case MESSAGE6.request:
    case MESSAGE6.renew:
    case MESSAGE6.release:
    case MESSAGE6.decline:
      return clientId !== undefined && toUs;
    case MESSAGE6.informationRequest:
      return (server === undefined || toUs) && option6(options, OPTION6.iaNa) === undefined;
    default:
      return false;
  }
}

/**
 * The URL, and for HTTP Boot the vendor class without which firmware takes no offer (UEFI 2.10 §24.7.3). PXE gets none:
 * told `PXEClient`, OVMF looks for a boot server and takes nothing (PXE-E16).
 */
function bootOptions6(url: string, http: boolean): readonly Option[] {
  const name: Option = [OPTION6.bootFileUrl, Buffer.from(url, 'latin1')];
  if (!http) return [name];
  const text = Buffer.from('HTTPClient');
  // Intel's enterprise number, as the firmware itself sends.
  const value = Buffer.concat([Uint8Array.of(0, 0, 343 >> 8, 343 & 255, 0, text.length), text]);
  return [name, [OPTION6.vendorClass, value]];
}

function addressOptions(
  message: Message6,
  clientId: Uint8Array | undefined,
  desk: Desk6,
  pool: AddressPool6,
): readonly Option[] {
  const { type, options } = message;
  const asked = associations6(options);
  const id = Buffer.from(clientId ?? new Uint8Array(0)).toString('hex');
  const each = (work: (owner: string, association: Association6) => Option): readonly Option[] =>
    asked.map((association) => work(`${id}/${Buffer.from(association.iaid).toString('hex')}`, association));
  switch (type) {
    case MESSAGE6.solicit:
    case MESSAGE6.request:
    case MESSAGE6.renew:
    case MESSAGE6.rebind:
      return each((owner, association) => granted(owner, association, type, desk, pool));
    case MESSAGE6.confirm: {
      const here = asked
        .flatMap(({ addresses }) => addresses)
        .every((address) => pool.contains(formatIpv6(address)));
      return [status(here ? STATUS.success : STATUS.notOnLink)];
    }
    case MESSAGE6.release:
    case MESSAGE6.decline: {
      const now = desk.desk.clock.now();
      each((owner, association) => {
        for (const address of association.addresses.map(formatIpv6)) {
          if (type === MESSAGE6.release) pool.release(owner, address);
          else pool.decline(owner, address, now);
        }
        return status(STATUS.success);
      });
      return [status(STATUS.success)];
    }
    default:
      return [];
  }
}

function granted(
  owner: string,
  { iaid, addresses }: Association6,
  type: number,
  { desk, leaseSeconds }: Desk6,
  pool: AddressPool6,
): Option {
  const now = desk.clock.now();
  const wanted = addresses[0] === undefined ? undefined : formatIpv6(addresses[0]);
  const address = pool.offer(owner, wanted, now);
  const bound =
    address !== undefined &&
    (type === MESSAGE6.solicit || pool.lease(owner, address, now + leaseSeconds * 1000, now));
  if (!bound) return association(iaid, 0, [status(STATUS.noAddresses)]);
  const gone =
    wanted !== undefined && wanted !== address && type !== MESSAGE6.solicit && type !== MESSAGE6.request;
  // One that moves on is told that its old address is over (§18.3.4).
  const old = gone ? [iaAddress(wanted, 0)] : [];
  return association(iaid, leaseSeconds, [iaAddress(address, leaseSeconds), ...old]);
}

function association(iaid: Uint8Array, seconds: number, inner: readonly Option[]): Option {
  const times = [uint32(seconds / 2), uint32(seconds * 0.8)];
  return [OPTION6.iaNa, Buffer.concat([iaid, ...times, encodeOptions6(inner)])];
}

function iaAddress(address: string, seconds: number): Option {
  const bytes = parseIpv6(address) as Uint8Array;
  return [OPTION6.iaAddress, Buffer.concat([bytes, uint32(seconds), uint32(seconds)])];
}

function status(code: number): Option {
  return [OPTION6.status, Uint8Array.of(0, code)];
}

function dnsOption(dns: readonly string[]): readonly Option[] {
  const bytes = dns.flatMap((address) => parseIpv6(address) ?? []);
  return bytes.length === 0 ? [] : [[OPTION6.dns, Buffer.concat(bytes)]];
}

function uint32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(Math.floor(value));
  return bytes;
}

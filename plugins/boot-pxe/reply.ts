/** How an answer is put into a packet, and where it goes. */

import {
  type DhcpDraft,
  type DhcpPacket,
  encodeSubOptions,
  ipv4Bytes,
  MESSAGE,
  type MessageType,
  nulTerminated,
  OPTION,
  relayInformation,
} from '@overdub/lib-netboot';
import type { Caller } from './caller.ts';
import type { Ports, Quirks } from './options.ts';
import type { Site } from './sites.ts';

const UNSET = '0.0.0.0';
/** PXE discovery control, bit 3: take the boot file of this offer, ask no boot server, show no menu (PXE 2.1 §2.2.2). */
const USE_OFFERED_FILE = Uint8Array.of(8);
const PXE_DISCOVERY_CONTROL = 6;
/** iPXE: do not wait for a proxyDHCP offer; saves seconds where we are the only server. */
export const IPXE_NO_PXEDHCP = encodeSubOptions([[176, Uint8Array.of(1)]], { end: false });

type Option = readonly [number, Uint8Array];

/** A reply before it is encoded. */
export interface Reply {
  readonly type: MessageType;
  readonly draft: DhcpDraft;
  readonly to: Destination;
}

export interface Destination {
  readonly address: string;
  readonly port: number;
  /** Send to this hardware address, whatever the IP address: for firmware that hears no broadcasts. */
  readonly hardware?: Uint8Array;
}

export interface ReplyParts {
  readonly type: MessageType;
  readonly site: Site;
  readonly to: Destination;
  readonly yiaddr?: string;
  readonly options: readonly Option[];
  readonly bootFile?: string;
  readonly bootFileIn?: Quirks['bootFile'];
}

/** Fills the fixed fields: identity, flags and giaddr are the request's (RFC 2131 table 3). */
export function makeReply(request: DhcpPacket, parts: ReplyParts): Reply {
  const { type, site, bootFile, bootFileIn = 'both' } = parts;
  const relayed = type === MESSAGE.nak && request.giaddr !== UNSET;
  const options: Option[] = [
    [OPTION.messageType, Uint8Array.of(type)],
    [OPTION.serverId, ipv4Bytes(relayInformation(request).serverIdOverride ?? site.address)],
    ...parts.options,
    // RFC 6842: a client may share its hardware address with others.
    ...echoed(request, OPTION.clientId),
  ];
  const relayed82 = request.options.get(OPTION.relayInformation);
  const inField = bootFile !== undefined && bootFileIn !== 'option' && fitsFile(bootFile);
  return {
    type,
    to: parts.to,
    draft: {
      op: 2,
      htype: request.htype,
      xid: request.xid,
      // A relayed NAK must reach a client whose address is wrong: the relay has to broadcast it (RFC 2131 §4.3.2).
      flags: relayed ? request.flags | 0x8000 : request.flags,
      ciaddr: type === MESSAGE.ack ? request.ciaddr : UNSET,
      yiaddr: parts.yiaddr ?? UNSET,
      siaddr: bootFile === undefined ? UNSET : site.address,
      giaddr: request.giaddr,
      chaddr: request.chaddr,
      ...(bootFile === undefined ? {} : { sname: site.address, file: inField ? bootFile : '' }),
      options,
      ...(relayed82 === undefined ? {} : { relayInformation: relayed82 }),
    },
  };
}

/** Names of 128 bytes and more only fit option 67. */
function fitsFile(name: string): boolean {
  return name.length < 128;
}

function echoed(request: DhcpPacket, code: number): readonly Option[] {
  const value = request.options.get(code);
  return value === undefined ? [] : [[code, value]];
}

/**
 * Where a reply goes (RFC 2131 §4.1): to the relay, to the address the client has, else to everybody on the
 * interface, since a client without an address cannot be asked for one by ARP.
 */
export function destinationOf(
  request: DhcpPacket,
  type: MessageType,
  ports: Ports,
  {
    unicast = false,
    yiaddr = UNSET,
  }: { readonly unicast?: boolean | undefined; readonly yiaddr?: string } = {},
): Destination {
  if (request.giaddr !== UNSET) return { address: request.giaddr, port: ports.server };
  // A client that looks for a server has no address yet, whatever it says (RFC 2131 table 5).
  if (type !== MESSAGE.nak && type !== MESSAGE.offer && request.ciaddr !== UNSET)
    return { address: request.ciaddr, port: ports.client };
  const everybody = '255.255.255.255';
  if (!unicast) return { address: everybody, port: ports.client };
  const address = yiaddr === UNSET ? everybody : yiaddr;
  return { address, port: ports.client, hardware: request.chaddr };
}

/**
 * Options that name a boot file. Firmware wants option 60 `PXEClient` and, unless its quirks say otherwise,
 * option 43 with it: without 43 EDK2 goes on to ask port 4011. iPXE needs 60 only to accept a proxy's offer.
 */
export function bootOptions(
  request: DhcpPacket,
  caller: Caller,
  bootFile: string,
  site: Site,
  quirks: Quirks,
  mode: 'proxy' | 'server',
): readonly Option[] {
  const firmware = caller.client === 'pxe';
  const options: Option[] = [...echoed(request, OPTION.machineUuid)];
  if (caller.client === 'http') return [...options, ...httpBootOptions(bootFile)];
  if ((firmware || mode === 'proxy') && quirks.vendorClass !== false) {
    options.push([OPTION.vendorClass, Buffer.from('PXEClient')]);
  }
  if (firmware && quirks.option43 !== false) {
    options.push([OPTION.vendorSpecific, encodeSubOptions([[PXE_DISCOVERY_CONTROL, USE_OFFERED_FILE]])]);
  }
  const text = (value: string): Uint8Array =>
    quirks.nulTerminated === false ? Buffer.from(value, 'latin1') : nulTerminated(value);
  if (quirks.bootFile !== 'field' || !fitsFile(bootFile)) options.push([OPTION.bootFile, text(bootFile)]);
  options.push([OPTION.tftpServerName, text(site.address)]);
  return options;
}

/**
 * HTTP Boot takes only offers that say option 60 `HTTPClient`, and its URI from option 67 (UEFI 2.10 §24.7.3). No NUL
 * behind it: some firmware would ask for `…%00`.
 */
function httpBootOptions(uri: string): readonly Option[] {
  return [
    [OPTION.vendorClass, Buffer.from('HTTPClient')],
    [OPTION.bootFile, Buffer.from(uri, 'latin1')],
  ];
}

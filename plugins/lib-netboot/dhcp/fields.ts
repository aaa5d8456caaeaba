/** What a request says about its sender, read tolerantly: real ROMs bend every rule. */

import { ipv4FromBytes } from '../ipv4.ts';
import { MESSAGE, type MessageType, OPTION, RELAY } from './codes.ts';
import { decodeOptions, type Options } from './options.ts';
import { type DhcpPacket, zeroTerminated } from './packet.ts';

const MESSAGE_TYPES = new Set<number>(Object.values(MESSAGE));

/** Option 53; `undefined` for BOOTP, unknown types and other lengths than one byte. */
export function messageType(packet: DhcpPacket): MessageType | undefined {
  const value = packet.options.get(OPTION.messageType);
  const type = value?.length === 1 ? value[0] : undefined;
  return type !== undefined && MESSAGE_TYPES.has(type) ? (type as MessageType) : undefined;
}

/** Ethernet address in lower-case colon form; `undefined` for other hardware, all-zero and group addresses. */
export function macOf(packet: DhcpPacket): string | undefined {
  const { chaddr, htype } = packet;
  if (htype !== 1 || chaddr.length !== 6) return undefined;
  if (((chaddr[0] as number) & 1) !== 0 || chaddr.every((byte) => byte === 0)) return undefined;
  return [...chaddr].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** An address-valued option (50, 54 …). */
export function addressOption(packet: DhcpPacket, code: number): string | undefined {
  const value = packet.options.get(code);
  return value?.length === 4 ? ipv4FromBytes(value) : undefined;
}

/** A text-valued option (12, 60, 66, 67 …), up to a NUL if one was sent along. */
export function textOption(packet: DhcpPacket, code: number): string | undefined {
  const value = packet.options.get(code);
  return value === undefined ? undefined : zeroTerminated(value);
}

/** Option 55, the codes the client wants. */
export function requestedOptions(packet: DhcpPacket): ReadonlySet<number> {
  return new Set(packet.options.get(OPTION.parameterList) ?? []);
}

/**
 * Option 97 (RFC 4578 §2.3): type 0 and 16 bytes, whose first three fields are little-endian as SMBIOS prints
 * them. Missing, empty, of another length or type: `undefined`.
 */
export function machineUuid(packet: DhcpPacket): string | undefined {
  const value = packet.options.get(OPTION.machineUuid);
  if (value?.length !== 17 || value[0] !== 0) return undefined;
  const hex = [4, 3, 2, 1, 6, 5, 8, 7, 9, 10, 11, 12, 13, 14, 15, 16]
    .map((at) => (value[at] as number).toString(16).padStart(2, '0'))
    .join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/**
 * Architecture codes (RFC 4578 §2.1): option 93, else the `Arch:00007` part of a PXE vendor class. Empty when
 * the client names none.
 */
export function architectures(packet: DhcpPacket): readonly number[] {
  const value = packet.options.get(OPTION.clientArchitecture);
  if (value !== undefined && value.length >= 2) {
    return Array.from({ length: value.length >> 1 }, (_, index) => {
      return (value[index * 2] as number) * 256 + (value[index * 2 + 1] as number);
    });
  }
  const named = /^(?:PXE|HTTP)Client:Arch:(\d{1,5})/.exec(textOption(packet, OPTION.vendorClass) ?? '');
  return named === null ? [] : [Number(named[1])];
}

/**
 * User classes of option 77: RFC 3004's length-prefixed list, or the plain text that iPXE and others send
 * against the standard.
 */
export function userClasses(packet: DhcpPacket): readonly string[] {
  const value = packet.options.get(OPTION.userClass);
  if (value === undefined || value.length === 0) return [];
  const listed: string[] = [];
  let at = 0;
  while (at < value.length) {
    const length = value[at] as number;
    if (length === 0 || at + 1 + length > value.length) break;
    listed.push(zeroTerminated(value.subarray(at + 1, at + 1 + length)));
    at += 1 + length;
  }
  return at === value.length ? listed : [zeroTerminated(value)];
}

/** iPXE's own options (175), by sub-option; `undefined` when it sent none. */
export function ipxeOptions(packet: DhcpPacket): Options | undefined {
  const value = packet.options.get(OPTION.ipxe);
  return value === undefined ? undefined : decodeOptions(value).options;
}

/** What a relay adds about the client's place and its own wishes. */
export interface RelayInformation {
  /** The client's subnet, where giaddr does not tell (RFC 3527). */
  readonly linkSelection: string | undefined;
  /** What the reply's option 54 must say, so that the client renews through the relay (RFC 5107). */
  readonly serverIdOverride: string | undefined;
}

/** Option 82; all undefined when there is none, or nonsense in it. */
export function relayInformation(packet: DhcpPacket): RelayInformation {
  const value = packet.options.get(OPTION.relayInformation);
  const parts: Options = value === undefined ? new Map() : decodeOptions(value).options;
  const address = (code: number): string | undefined => {
    const bytes = parts.get(code);
    const text = bytes?.length === 4 ? ipv4FromBytes(bytes) : undefined;
    return text === '0.0.0.0' ? undefined : text;
  };
  return {
    linkSelection: address(RELAY.linkSelection),
    serverIdOverride: address(RELAY.serverIdOverride),
  };
}

/**
 * Option 61 in the form of RFC 4361 §6.1 (type 255, interface number, DUID), in hex: made from a machine-id, it is
 * the same on machines that were cloned. Undefined for the older forms and for senseless lengths.
 */
export function nodeIdentifier(packet: DhcpPacket): string | undefined {
  const value = packet.options.get(OPTION.clientId);
  // RFC 8415 §11.1: two bytes of type, then 1 to 128 of identifier.
  if (value?.[0] !== 255 || value.length < 5 + 3 || value.length > 5 + 130) return undefined;
  return Buffer.from(value).toString('hex');
}

/** Text as an option value that ends in NUL, as ROMs expect of 66 and 67. */
export function nulTerminated(text: string): Uint8Array {
  return Buffer.from(`${text}\0`, 'latin1');
}

/** 32-bit big-endian number as an option value (51, 58, 59). */
export function uint32Option(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(Math.min(0xffffffff, Math.max(0, Math.floor(value))));
  return bytes;
}

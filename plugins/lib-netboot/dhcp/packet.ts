/** The DHCP message (RFC 2131 §2) on the wire. Decoding is total: any bytes give an answer, never an exception. */

import { ipv4Bytes } from '../ipv4.ts';
import { OPTION } from './codes.ts';
import { encodeOption, OptionCollector, type Options } from './options.ts';

const FIXED_BYTES = 236;
const MAGIC = Uint8Array.of(99, 130, 83, 99);
const OPTIONS_AT = FIXED_BYTES + MAGIC.length;
const SNAME = { at: 44, bytes: 64 };
const FILE = { at: 108, bytes: 128 };
/** RFC 951 §3: a BOOTP message has 300 bytes; some ROMs drop shorter ones. */
const SHORTEST = 300;
const IP_AND_UDP_BYTES = 28;
/** RFC 2131 §2: what every client must accept, as an IP datagram. */
const MIN_DATAGRAM = 576;
const MAX_DATAGRAM = 1500;

/** A decoded message. Addresses are dotted quads; unset ones are `0.0.0.0`. */
export interface DhcpPacket {
  /** 1 request (from a client), 2 reply. */
  readonly op: number;
  readonly htype: number;
  readonly hops: number;
  readonly xid: number;
  readonly secs: number;
  /** The 16-bit flags field; {@link wantsBroadcast} reads its top bit. */
  readonly flags: number;
  readonly ciaddr: string;
  readonly yiaddr: string;
  readonly siaddr: string;
  readonly giaddr: string;
  /** Hardware address, as long as `hlen` says (at most 16 bytes). */
  readonly chaddr: Uint8Array;
  /** Empty when the field carries options (overload, option 52). */
  readonly sname: string;
  readonly file: string;
  readonly options: Options;
}

/** `packet` is absent when the bytes are no DHCP message; with both set, the packet holds what was readable. */
export interface DecodedDhcp {
  readonly packet: DhcpPacket | undefined;
  readonly problem: string | undefined;
}

/** Reads a datagram's payload. Never throws; keeps no reference to `bytes`. */
export function decodeDhcp(bytes: Uint8Array): DecodedDhcp {
  if (bytes.length < OPTIONS_AT)
    return refused(`only ${bytes.length} bytes, a DHCP message has ${OPTIONS_AT}`);
  if (MAGIC.some((byte, index) => bytes[FIXED_BYTES + index] !== byte))
    return refused('no DHCP magic cookie');
  const op = bytes[0] as number;
  if (op !== 1 && op !== 2) return refused(`op ${op} is neither request nor reply`);
  const hlen = bytes[2] as number;
  if (hlen > 16) return refused(`hardware address of ${hlen} bytes, the field has 16`);

  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { options, problem, overload } = readOptions(bytes);
  const packet: DhcpPacket = {
    op,
    htype: bytes[1] as number,
    hops: bytes[3] as number,
    xid: view.getUint32(4),
    secs: view.getUint16(8),
    flags: view.getUint16(10),
    ciaddr: bytes.subarray(12, 16).join('.'),
    yiaddr: bytes.subarray(16, 20).join('.'),
    siaddr: bytes.subarray(20, 24).join('.'),
    giaddr: bytes.subarray(24, 28).join('.'),
    chaddr: Uint8Array.from(bytes.subarray(28, 28 + hlen)),
    sname: overload & 2 ? '' : zeroTerminated(fieldOf(bytes, SNAME)),
    file: overload & 1 ? '' : zeroTerminated(fieldOf(bytes, FILE)),
    options,
  };
  return { packet, problem };
}

function refused(problem: string): DecodedDhcp {
  return { packet: undefined, problem };
}

function readOptions(bytes: Uint8Array): { options: Options; problem: string | undefined; overload: number } {
  const collector = new OptionCollector();
  collector.read(bytes.subarray(OPTIONS_AT));
  const overload = (collector.first(OPTION.overload)?.[0] ?? 0) & 3;
  // RFC 3396 §7: options field, then file, then sname.
  if (overload & 1) collector.read(fieldOf(bytes, FILE));
  if (overload & 2) collector.read(fieldOf(bytes, SNAME));
  return { ...collector.finish(), overload };
}

function fieldOf(bytes: Uint8Array, field: { at: number; bytes: number }): Uint8Array {
  return bytes.subarray(field.at, field.at + field.bytes);
}

/** Text up to the first NUL, byte for byte (latin-1): ROMs count a trailing NUL or not as they please. */
export function zeroTerminated(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1');
}

/** Does the client ask for a broadcast reply (RFC 2131 §4.1)? */
export function wantsBroadcast(packet: DhcpPacket): boolean {
  return (packet.flags & 0x8000) !== 0;
}

/**
 * How long a reply's UDP payload may be: option 57 (an IP datagram's length), at least RFC 2131's 576 and at
 * most an Ethernet frame.
 */
export function payloadBudget(request: DhcpPacket): number {
  const asked = request.options.get(OPTION.maxMessageSize);
  const datagram = asked?.length === 2 ? (asked[0] as number) * 256 + (asked[1] as number) : MIN_DATAGRAM;
  return Math.min(MAX_DATAGRAM, Math.max(MIN_DATAGRAM, datagram)) - IP_AND_UDP_BYTES;
}

/** What {@link encodeDhcp} writes; missing fields are zero. */
export type DhcpDraft = Partial<Omit<DhcpPacket, 'options'>> & {
  readonly op: number;
  readonly xid: number;
  readonly chaddr: Uint8Array;
  /** In order of importance: what does not fit is left out from the end. */
  readonly options: Iterable<readonly [number, Uint8Array]>;
  /** Option 82 as the relay sent it: always the last of the options field, never left out (RFC 3046 §2.2). */
  readonly relayInformation?: Uint8Array;
};

export interface EncodedDhcp {
  readonly bytes: Uint8Array;
  /** Codes that found no room in the budget. */
  readonly dropped: readonly number[];
}

/**
 * Writes a message of at most `maxBytes` (a UDP payload, see {@link payloadBudget}). Options fill the options
 * field, then unused `file` and `sname` fields (overload, RFC 2132 §9.3); long ones are split (RFC 3396).
 * `sname` and `file` are cut so that a NUL always ends them.
 */
export function encodeDhcp(draft: DhcpDraft, maxBytes = MIN_DATAGRAM - IP_AND_UDP_BYTES): EncodedDhcp {
  const packed = packOptions(draft, Math.max(maxBytes, MIN_DATAGRAM - IP_AND_UDP_BYTES) - OPTIONS_AT);
  const bytes = new Uint8Array(Math.max(SHORTEST, OPTIONS_AT + packed.main.length));
  writeFixed(bytes, draft);
  bytes.set(MAGIC, FIXED_BYTES);
  bytes.set(packed.main, OPTIONS_AT);
  if (packed.file !== undefined) bytes.set(packed.file, FILE.at);
  if (packed.sname !== undefined) bytes.set(packed.sname, SNAME.at);
  return { bytes, dropped: packed.dropped };
}

function writeFixed(bytes: Uint8Array, draft: DhcpDraft): void {
  const view = new DataView(bytes.buffer);
  bytes[0] = draft.op;
  bytes[1] = draft.htype ?? 1;
  bytes[2] = Math.min(draft.chaddr.length, 16);
  bytes[3] = draft.hops ?? 0;
  view.setUint32(4, draft.xid);
  view.setUint16(8, draft.secs ?? 0);
  view.setUint16(10, draft.flags ?? 0);
  for (const [at, address] of [
    [12, draft.ciaddr],
    [16, draft.yiaddr],
    [20, draft.siaddr],
    [24, draft.giaddr],
  ] as const) {
    bytes.set(ipv4Bytes(address ?? '0.0.0.0'), at);
  }
  bytes.set(draft.chaddr.subarray(0, 16), 28);
  bytes.set(Buffer.from(draft.sname ?? '', 'latin1').subarray(0, SNAME.bytes - 1), SNAME.at);
  bytes.set(Buffer.from(draft.file ?? '', 'latin1').subarray(0, FILE.bytes - 1), FILE.at);
}

interface PackedOptions {
  readonly main: Uint8Array;
  readonly file: Uint8Array | undefined;
  readonly sname: Uint8Array | undefined;
  readonly dropped: readonly number[];
}

function packOptions(draft: DhcpDraft, mainRoom: number): PackedOptions {
  const units = [...draft.options].map(([code, value]) => ({ code, bytes: encodeOption(code, value) }));
  const total = units.reduce((sum, unit) => sum + unit.bytes.length, 1);
  const relay =
    draft.relayInformation === undefined
      ? new Uint8Array(0)
      : encodeOption(OPTION.relayInformation, draft.relayInformation);
  const overloads = total + relay.length > mainRoom;
  // The overload option itself takes three bytes of the main field, each field's end mark one.
  const main = new Room(mainRoom - 1 - relay.length - (overloads ? 3 : 0));
  const file = new Room(overloads && !draft.file ? FILE.bytes - 1 : 0);
  const sname = new Room(overloads && !draft.sname ? SNAME.bytes - 1 : 0);
  const dropped = units
    .filter((unit) => ![main, file, sname].some((room) => room.take(unit.bytes)))
    .map((unit) => unit.code);
  const overload = (file.used ? 1 : 0) | (sname.used ? 2 : 0);
  if (overload !== 0) main.parts.unshift(Uint8Array.of(OPTION.overload, 1, overload));
  main.parts.push(relay);
  return {
    main: main.closed(),
    file: file.used ? file.closed() : undefined,
    sname: sname.used ? sname.closed() : undefined,
    dropped,
  };
}

class Room {
  readonly parts: Uint8Array[] = [];
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  get used(): boolean {
    return this.parts.length > 0;
  }

  take(bytes: Uint8Array): boolean {
    if (bytes.length > this.#left) return false;
    this.parts.push(bytes);
    this.#left -= bytes.length;
    return true;
  }

  closed(): Uint8Array {
    return Buffer.concat([...this.parts, Uint8Array.of(OPTION.end)]);
  }
}

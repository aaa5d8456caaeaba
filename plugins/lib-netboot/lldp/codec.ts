/** What a switch says of itself on each port (IEEE 802.1AB-2016 §8, LLDP data units). */

/** The other end of a link. Texts are of one line and of at most 255 characters. */
export interface LldpNeighbour {
  /** MAC address, IP address, or whatever name the switch gives itself. */
  readonly chassisId: string;
  readonly portId: string;
  /** Good for so many seconds; 0: the neighbour takes its leave. */
  readonly ttlSeconds: number;
  readonly systemName?: string;
  readonly portDescription?: string;
  /** The port's VLAN for untagged frames (annex D.2.1), where it says so. */
  readonly vlan?: number;
}

export const LLDP_ETHERTYPE = 0x88cc;
/** Group addresses that LLDP is sent to (§7.1): nearest bridge, nearest non-TPMR bridge, nearest customer bridge. */
export const LLDP_GROUPS: readonly string[] = ['01:80:c2:00:00:0e', '01:80:c2:00:00:03', '01:80:c2:00:00:00'];

const ETHERNET_HEADER = 14;
const TLV = { end: 0, chassisId: 1, portId: 2, ttl: 3, portDescription: 4, systemName: 5, own: 127 } as const;
const MANDATORY: readonly number[] = [TLV.chassisId, TLV.portId, TLV.ttl];
/** Subtypes whose value is no text (tables 8-2, 8-3). */
const CHASSIS = { mac: 4, address: 5 } as const;
const PORT = { mac: 3, address: 4 } as const;
/** IEEE 802.1's identifier, then its subtype for the port's VLAN. */
const PORT_VLAN = '0080c201';

interface Tlv {
  readonly type: number;
  readonly value: Uint8Array;
}

/** An Ethernet frame as a packet socket gives it. Total: `undefined` for whatever is no sound LLDP data unit. */
export function decodeLldpFrame(frame: Uint8Array): LldpNeighbour | undefined {
  const view = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.length < ETHERNET_HEADER || view.readUInt16BE(12) !== LLDP_ETHERTYPE) return undefined;
  return decodeLldp(view.subarray(ETHERNET_HEADER));
}

/**
 * A data unit. Chassis, port and lifetime come first and once (§9.2.7.7.1), or it is refused as a whole; TLVs of other
 * kinds are skipped; what is behind the end is padding. Total.
 */
export function decodeLldp(bytes: Uint8Array): LldpNeighbour | undefined {
  const tlvs = splitTlvs(bytes);
  if (tlvs === undefined || !MANDATORY.every((type, at) => tlvs[at]?.type === type)) return undefined;
  const rest = tlvs.slice(MANDATORY.length);
  if (rest.some(({ type }) => MANDATORY.includes(type))) return undefined;
  const [chassis, port, ttl] = tlvs.map(({ value }) => value) as [Uint8Array, Uint8Array, Uint8Array];
  const chassisId = idText(chassis, CHASSIS);
  const portId = idText(port, PORT);
  if (chassisId === undefined || portId === undefined || ttl.length < 2) return undefined;
  return {
    chassisId,
    portId,
    ttlSeconds: uint16(ttl),
    ...optional('systemName', textOf(rest, TLV.systemName)),
    ...optional('portDescription', textOf(rest, TLV.portDescription)),
    ...optional('vlan', vlanOf(rest)),
  };
}

/** Seven bits of type, nine of length (§8.4). `undefined` when one runs past the end, or there is none. */
function splitTlvs(bytes: Uint8Array): readonly Tlv[] | undefined {
  const found: Tlv[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const head = uint16(bytes.subarray(at));
    const [type, end] = [head >> 9, at + 2 + (head & 0x1ff)];
    if (type === TLV.end) return found;
    if (end > bytes.length) return undefined;
    found.push({ type, value: bytes.subarray(at + 2, end) });
    at = end;
  }
  // Some senders leave the end to the frame's.
  return found;
}

/** A subtype and its value: an address in its usual form, else text, else hex. */
function idText(value: Uint8Array, kinds: { readonly mac: number; readonly address: number }) {
  const [subtype = 0, id] = [value[0], value.subarray(1)];
  if (id.length === 0 || id.length > 255) return undefined;
  if (subtype === kinds.mac && id.length === 6)
    return Buffer.from(id)
      .toString('hex')
      .replace(/..(?=.)/g, '$&:');
  if (subtype === kinds.address) return addressText(id) ?? hexText(id);
  return plainText(id) ?? hexText(id);
}

/** IANA address family, then the address. */
function addressText(id: Uint8Array): string | undefined {
  if (id[0] === 1 && id.length === 5) return id.subarray(1).join('.');
  if (id[0] !== 2 || id.length !== 17) return undefined;
  const groups = Buffer.from(id.subarray(1)).toString('hex').match(/.{4}/g) ?? [];
  return groups.map((group) => group.replace(/^0{1,3}/, '')).join(':');
}

function hexText(id: Uint8Array): string {
  return Buffer.from(id.subarray(0, 127)).toString('hex');
}

/** One line; `undefined` when nothing to be seen is left, or it was no text. */
function plainText(value: Uint8Array): string | undefined {
  const text = Buffer.from(value).toString('utf8').replace(/\0+$/, '');
  if (text.includes('\ufffd')) return undefined;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed.
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim();
  return line === '' ? undefined : line.slice(0, 255).toWellFormed();
}

function textOf(tlvs: readonly Tlv[], type: number): string | undefined {
  const value = tlvs.find((each) => each.type === type)?.value;
  return value === undefined || value.length > 255 ? undefined : plainText(value);
}

function vlanOf(tlvs: readonly Tlv[]): number | undefined {
  const own = tlvs.filter(({ type, value }) => type === TLV.own && value.length >= 6);
  const found = own.find(({ value }) => Buffer.from(value.subarray(0, 4)).toString('hex') === PORT_VLAN);
  const vlan = found === undefined ? 0 : uint16(found.value.subarray(4));
  return vlan > 0 && vlan < 4095 ? vlan : undefined;
}

function uint16(bytes: Uint8Array): number {
  return (bytes[0] as number) * 256 + (bytes[1] as number);
}

function optional<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: V });
}

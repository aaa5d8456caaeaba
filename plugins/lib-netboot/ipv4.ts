/** IPv4 addresses as text, numbers and bytes. */

/** Dotted quad → unsigned 32-bit number; `undefined` unless it is exactly four decimal bytes. */
export function parseIpv4(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const bytes = match.slice(1).map(Number);
  if (bytes.some((byte) => byte > 255)) return undefined;
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}

/** Unsigned 32-bit number → dotted quad. */
export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** Four bytes in network order; anything that is no IPv4 address becomes 0.0.0.0. */
export function ipv4Bytes(text: string): Uint8Array {
  const value = parseIpv4(text) ?? 0;
  return Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

/** The first four bytes as a dotted quad; `undefined` when there are fewer. */
export function ipv4FromBytes(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined || bytes.length < 4 ? undefined : bytes.subarray(0, 4).join('.');
}

/** Is `address` in the network that `member` and `netmask` span? False for malformed input. */
export function sameNetwork(address: string, member: string, netmask: string): boolean {
  const [a, b, mask] = [parseIpv4(address), parseIpv4(member), parseIpv4(netmask)];
  if (a === undefined || b === undefined || mask === undefined) return false;
  return (a & mask) === (b & mask);
}

/** Could a host have it: neither unset nor multicast, reserved or broadcast (RFC 6890)? */
export function isHostAddress(text: string): boolean {
  const value = parseIpv4(text);
  return value !== undefined && value >>> 24 !== 0 && value >>> 24 < 224;
}

/** Last address of the network: its directed broadcast. */
export function broadcastAddress(member: string, netmask: string): string {
  const mask = parseIpv4(netmask) ?? 0xffffffff;
  return formatIpv4((((parseIpv4(member) ?? 0) & mask) | ~mask) >>> 0);
}

/** Ones first, then zeros: a mask that DHCP may hand out. */
export function isNetmask(text: string): boolean {
  const mask = parseIpv4(text);
  if (mask === undefined || mask === 0) return false;
  const inverted = ~mask >>> 0;
  return (inverted & (inverted + 1)) === 0;
}

/** A network by its first address and its mask. */
export interface Ipv4Network {
  readonly network: string;
  readonly netmask: string;
}

/** `10.2.0.0/24`, 0 to 32 bits; `undefined` for other text, and where the host part is not zero. */
export function parseCidr(text: string): Ipv4Network | undefined {
  const [, address = '', bits = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  const length = Number(bits);
  if (parseIpv4(address) === undefined || length > 32) return undefined;
  const netmask = formatIpv4(length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0);
  return networkAddress(address, netmask) === address ? { network: address, netmask } : undefined;
}

/** The first address of the network that `member` is in. */
export function networkAddress(member: string, netmask: string): string {
  return formatIpv4(((parseIpv4(member) ?? 0) & (parseIpv4(netmask) ?? 0)) >>> 0);
}

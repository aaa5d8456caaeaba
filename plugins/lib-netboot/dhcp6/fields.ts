/** What a DHCPv6 message says about its sender. Total: what makes no sense is as if it were not there. */

import { isLinkLocal6 } from '../ipv6.ts';
import { decodeOptions6, OPTION6, type Options6, option6 } from './codec.ts';

/** Identity association for an address (RFC 8415 §21.4): the client's number for it, and addresses it names. */
export interface Association6 {
  readonly iaid: Uint8Array;
  readonly addresses: readonly Uint8Array[];
}

/** Option 61 (RFC 5970 §3.3), codes of RFC 4578's registry. */
export function architectures6(options: Options6): readonly number[] {
  const value = option6(options, OPTION6.clientArchitecture) ?? new Uint8Array(0);
  return Array.from({ length: value.length >> 1 }, (_, at) => uint16(value, at * 2));
}

/** Option 15: length-prefixed texts. */
export function userClasses6(options: Options6): readonly string[] {
  return prefixedTexts(option6(options, OPTION6.userClass) ?? new Uint8Array(0));
}

/** Option 16 behind its enterprise number: `PXEClient:Arch:…`, `HTTPClient:Arch:…`. */
export function vendorClass6(options: Options6): string | undefined {
  return prefixedTexts((option6(options, OPTION6.vendorClass) ?? new Uint8Array(0)).subarray(4))[0];
}

/** Option 6. */
export function requested6(options: Options6): ReadonlySet<number> {
  const value = option6(options, OPTION6.requested) ?? new Uint8Array(0);
  return new Set(Array.from({ length: value.length >> 1 }, (_, at) => uint16(value, at * 2)));
}

/** Every identity association for a non-temporary address. */
export function associations6(options: Options6): readonly Association6[] {
  return options.flatMap(([code, value]) => {
    if (code !== OPTION6.iaNa || value.length < 12) return [];
    const inner = decodeOptions6(value.subarray(12)) ?? [];
    const addresses = inner.flatMap(([each, bytes]) =>
      each === OPTION6.iaAddress && bytes.length >= 24 ? [bytes.slice(0, 16)] : [],
    );
    return [{ iaid: value.slice(0, 4), addresses }];
  });
}

/**
 * The client's MAC address: as its relay saw it (RFC 6939), else from a link-local address made of it (RFC 4291
 * appendix A), else from its DUID (RFC 8415 §11.2, §11.4), which may name another interface of the machine.
 */
export function macOf6(
  options: Options6,
  peer: Uint8Array | undefined,
  relayed?: Options6,
): string | undefined {
  const seen = option6(relayed ?? [], OPTION6.linkLayerAddress);
  if (seen?.length === 8 && uint16(seen, 0) === 1) return macText(seen.subarray(2));
  if (peer?.length === 16 && isLinkLocal6(peer) && peer[11] === 0xff && peer[12] === 0xfe) {
    return macText(Uint8Array.of((peer[8] as number) ^ 2, ...peer.subarray(9, 11), ...peer.subarray(13, 16)));
  }
  const duid = option6(options, OPTION6.clientId) ?? new Uint8Array(0);
  if (duid.length < 4 || uint16(duid, 2) !== 1) return undefined;
  const at = { 1: 8, 3: 4 }[uint16(duid, 0)];
  return at !== undefined && duid.length === at + 6 ? macText(duid.subarray(at)) : undefined;
}

function macText(bytes: Uint8Array): string | undefined {
  if (((bytes[0] as number) & 1) !== 0 || bytes.every((byte) => byte === 0)) return undefined;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function prefixedTexts(value: Uint8Array): readonly string[] {
  const found: string[] = [];
  for (let at = 0; at + 2 <= value.length; ) {
    const end = at + 2 + uint16(value, at);
    if (end > value.length) break;
    found.push(Buffer.from(value.subarray(at + 2, end)).toString('latin1'));
    at = end;
  }
  return found;
}

function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) * 256 + (bytes[at + 1] as number);
}

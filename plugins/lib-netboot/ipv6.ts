/** IPv6 addresses as text and bytes (RFC 4291 §2.2, RFC 5952). */

import { isIPv6 } from 'node:net';
import { parseIpv4 } from './ipv4.ts';

/** Sixteen bytes; `undefined` for everything but an address. A zone (`%eth0`) is left out. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const [plain = ''] = text.split('%');
  if (!isIPv6(plain)) return undefined;
  const [head = '', tail] = plain.split('::');
  const [before, after] = [groupsOf(head), tail === undefined ? [] : groupsOf(tail)];
  const zeros = new Array<number>(8 - before.length - after.length).fill(0);
  return Uint8Array.from([...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 255]));
}

/** The last group may be a dotted quad. */
function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    const quad = group.includes('.') ? parseIpv4(group) : undefined;
    return quad === undefined ? [Number.parseInt(group, 16)] : [quad >>> 16, quad & 0xffff];
  });
}

/** The first sixteen bytes in RFC 5952's form; fewer read as if zeros followed. */
export function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, at) => ((bytes[at * 2] ?? 0) << 8) | (bytes[at * 2 + 1] ?? 0));
  const text = groups.map((group) => group.toString(16)).join(':');
  const runs = [...text.matchAll(/(?<=^|:)0(:0)+(?=:|$)/g)].map(([run]) => run);
  const longest = runs.sort((a, b) => b.length - a.length)[0];
  if (longest === undefined) return text;
  const at = text.search(new RegExp(`(?<=^|:)${longest}(?=:|$)`));
  return `${text.slice(0, at).replace(/:$/, '')}::${text.slice(at + longest.length).replace(/^:/, '')}`;
}

export function ipv6Number(bytes: Uint8Array): bigint {
  return bytes.reduce((value, byte) => value * 256n + BigInt(byte), 0n);
}

export function ipv6FromNumber(value: bigint): string {
  return formatIpv6(
    Uint8Array.from({ length: 16 }, (_, at) => Number((value >> BigInt(8 * (15 - at))) & 255n)),
  );
}

/** fe80::/10. */
export function isLinkLocal6(bytes: Uint8Array): boolean {
  return bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}

/** Who sent a DHCPv6 message, as the IPv4 side tells its callers. */

import type { BootArch, BootClient } from '@overdub/core/agent';
import { architectures6, macOf6, type Options6, userClasses6, vendorClass6 } from '@overdub/lib-netboot';
import type { Caller } from '../caller.ts';

/** IANA's processor architecture types: by TFTP, then by HTTP. BIOS is iPXE's word: such firmware knows no IPv6 itself. */
const ARCHITECTURES: ReadonlyMap<number, readonly [BootArch, BootClient]> = new Map([
  [0, ['bios-x86', 'pxe']],
  [7, ['uefi-x86_64', 'pxe']],
  [9, ['uefi-x86_64', 'pxe']],
  [11, ['uefi-arm64', 'pxe']],
  [16, ['uefi-x86_64', 'http']],
  [19, ['uefi-arm64', 'http']],
]);

/** `undefined` for one whose hardware address nothing tells. `plain`: it names no architecture, so it boots nothing. */
export function callerOf6(
  options: Options6,
  peer: Uint8Array | undefined,
  relayed?: Options6,
): Caller | undefined {
  const mac = macOf6(options, peer, relayed);
  if (mac === undefined) return undefined;
  const codes = architectures6(options);
  const archCode = codes.find((code) => ARCHITECTURES.has(code)) ?? codes[0];
  const [arch, client] = ARCHITECTURES.get(archCode ?? -1) ?? (['unknown', 'pxe'] as const);
  const userClass = userClasses6(options)[0];
  const ipxe = userClass === 'iPXE';
  return {
    mac,
    client: archCode === undefined ? 'plain' : ipxe ? 'ipxe' : client,
    arch: archCode === undefined ? 'bios-x86' : arch,
    archCode,
    uuid: undefined,
    vendorClass: vendorClass6(options),
    userClass,
    hostname: undefined,
    place: undefined,
  };
}

/** Who sent a DHCP message: firmware, iPXE, or an operating system's ordinary client. */

import type { BootArch, BootClient, BootRequest } from '@overdub/core/agent';
import { normalizeUuid } from '@overdub/core/agent';
import {
  architectures,
  type DhcpPacket,
  ipxeOptions,
  isHostAddress,
  machineUuid,
  macOf,
  OPTION,
  textOption,
  userClasses,
} from '@overdub/lib-netboot';
import type { Site } from './sites.ts';
import { placeOf } from './subnets.ts';

/** `plain`: an ordinary DHCP client that boots nothing. */
export interface Caller {
  readonly mac: string;
  readonly client: BootClient | 'plain';
  readonly arch: BootArch;
  readonly archCode: number | undefined;
  readonly uuid: string | undefined;
  readonly vendorClass: string | undefined;
  readonly userClass: string | undefined;
  readonly hostname: string | undefined;
  /** An address in its network, as its relay or it itself says; undefined where only our interface tells. */
  readonly place: string | undefined;
}

/** iPXE's feature sub-options of option 175 that matter: it can fetch by HTTP. */
const IPXE_HTTP = 19;
/** Feature sub-options begin here; below are settings. */
const IPXE_FEATURES = { from: 16, to: 63 };

/** RFC 4578 §2.1 and the IANA registry; 6 (32-bit EFI) and the rest are nothing we can boot. */
const ARCHITECTURES: ReadonlyMap<number, BootArch> = new Map([
  [0, 'bios-x86'],
  [7, 'uefi-x86_64'],
  [9, 'uefi-x86_64'],
  [16, 'uefi-x86_64'],
  [11, 'uefi-arm64'],
  [19, 'uefi-arm64'],
]);

/** Reads a request; `undefined` when it has no usable hardware address, or nowhere an answer could go. */
export function callerOf(packet: DhcpPacket): Caller | undefined {
  const mac = macOf(packet);
  const returns = [packet.giaddr, packet.ciaddr].filter((address) => address !== '0.0.0.0');
  if (mac === undefined || !returns.every(isHostAddress)) return undefined;
  const codes = architectures(packet);
  const known = codes.find((code) => ARCHITECTURES.has(code));
  const archCode = known ?? codes[0];
  const userClass = userClasses(packet)[0];
  return {
    mac,
    client: clientKind(packet),
    // ROMs from before RFC 4578 name no architecture: they are BIOS.
    arch: archCode === undefined ? 'bios-x86' : (ARCHITECTURES.get(archCode) ?? 'unknown'),
    archCode,
    uuid: normalizeUuid(machineUuid(packet)),
    vendorClass: textOption(packet, OPTION.vendorClass),
    userClass,
    hostname: textOption(packet, OPTION.hostName),
    place: placeOfCaller(packet),
  };
}

function placeOfCaller(packet: DhcpPacket): string | undefined {
  if (packet.giaddr !== '0.0.0.0') return placeOf(packet);
  return packet.ciaddr === '0.0.0.0' ? undefined : packet.ciaddr;
}

function clientKind(packet: DhcpPacket): Caller['client'] {
  const vendor = textOption(packet, OPTION.vendorClass) ?? '';
  const features = ipxeOptions(packet);
  if (features !== undefined || userClasses(packet).includes('iPXE')) {
    const listed = [...(features?.keys() ?? [])].some(
      (key) => key >= IPXE_FEATURES.from && key <= IPXE_FEATURES.to,
    );
    // An iPXE built without HTTP must load ours first, as if it were plain firmware.
    return listed && !features?.has(IPXE_HTTP) ? 'pxe' : 'ipxe';
  }
  if (vendor.startsWith('PXEClient')) return 'pxe';
  return vendor.startsWith('HTTPClient') ? 'http' : 'plain';
}

/** The question for the core. Only callers that boot have one. */
export function bootRequest(
  caller: Caller,
  { baseUrl, address }: Pick<Site, 'baseUrl' | 'address'>,
): BootRequest | undefined {
  if (caller.client === 'plain') return undefined;
  return {
    mac: caller.mac,
    arch: caller.arch,
    client: caller.client,
    stage: 'dhcp',
    baseUrl,
    ip: caller.place ?? address,
    ...(caller.uuid === undefined ? {} : { uuid: caller.uuid }),
    ...(caller.archCode === undefined ? {} : { archCode: caller.archCode }),
    ...(caller.vendorClass === undefined ? {} : { vendorClass: caller.vendorClass }),
    ...(caller.hostname === undefined ? {} : { hostname: caller.hostname }),
    ...(caller.userClass === undefined ? {} : { userClass: caller.userClass }),
  };
}

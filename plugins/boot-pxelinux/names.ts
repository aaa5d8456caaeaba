/**
 * Names of what PXELINUX asks for. It asks for everything beside the file that it is itself, so the name of that file holds
 * our address as this machine reaches it: `pxelinux/10.0.0.1/lpxelinux.0`.
 */

import { normalizeMac } from '@overdub/core/agent';
import { parseIpv4 } from '@overdub/lib-netboot';

const NAME = /^pxelinux\/([0-9.]{7,15})\/(.+)$/;
/** The hardware type of Ethernet, then the address (pxelinux(1), “Configuration”). */
const CONFIGURATION = /^pxelinux\.cfg\/01((?:-[0-9a-f]{2}){6})$/;

/** What is asked for, and at which address of ours. */
export interface AskedName {
  readonly address: string;
  /** As PXELINUX names it: `ldlinux.c32`, `pxelinux.cfg/default`. */
  readonly file: string;
}

/** The name of a file for machines that reach us at `address`. */
export function nameFor(address: string, file: string): string {
  return `pxelinux/${address}/${file}`;
}

/** `undefined` for names that are not PXELINUX's. */
export function askedName(name: string): AskedName | undefined {
  const [, address = '', file = ''] = NAME.exec(name) ?? [];
  return parseIpv4(address) === undefined ? undefined : { address, file };
}

/**
 * The machine whose configuration a file is. PXELINUX asks by UUID first, by MAC address next, then by parts of its IP address
 * and for `default`: `undefined` for all but the second, since UUIDs of several boards may be one.
 */
export function macOfConfiguration(file: string): string | undefined {
  const [, mac] = CONFIGURATION.exec(file) ?? [];
  return mac === undefined ? undefined : normalizeMac(mac.slice(1).replaceAll('-', ':'));
}

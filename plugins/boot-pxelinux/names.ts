/**
 * Names of what PXELINUX asks for. It asks for everything beside the file that it is itself, so the name of that file holds
 * our address as this machine reaches it: `pxelinux/10.0.0.1/lpxelinux.0`.
 */

import { normalizeMac, OverdubError } from '@overdub/core/agent';
import { parseIpv4 } from '@overdub/lib-netboot';

const NAME = /^pxelinux\/([0-9.]{7,15})\/(.+)$/;
/** The hardware type of Ethernet, then the address (pxelinux(1), “Configuration”). */
const CONFIGURATION = /^pxelinux\.cfg\/01-((?:[0-9a-f]{2}-){5}[0-9a-f]{2})$/;
const SESSION = /^session\/01-((?:[0-9a-f]{2}-){5}[0-9a-f]{2})\.cpio$/;

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
 * A machine's session, below the folder of our address. Its name is on the kernel's command line, and so on consoles: it must
 * not be the nonce.
 */
export function sessionFile(mac: string): string {
  return `session/01-${macAddress(mac).replaceAll(':', '-')}.cpio`;
}

/** The machine whose session a file is; `undefined` for other files. */
export function macOfSession(file: string): string | undefined {
  return macIn(SESSION, file);
}

/**
 * The machine whose configuration a file is. PXELINUX asks by UUID first, by MAC address next, then by parts of its IP address
 * and for `default`: `undefined` for all but the second, since UUIDs of several boards may be one.
 */
export function macOfConfiguration(file: string): string | undefined {
  return macIn(CONFIGURATION, file);
}

function macIn(pattern: RegExp, file: string): string | undefined {
  const [, mac] = pattern.exec(file) ?? [];
  return mac === undefined ? undefined : normalizeMac(mac.replaceAll('-', ':'));
}

function macAddress(claim: string): string {
  const mac = normalizeMac(claim);
  if (mac !== undefined) return mac;
  throw new OverdubError(
    'INPUT_INVALID',
    `${JSON.stringify(claim.slice(0, 80))} is no MAC address, so no session can be named by it.`,
    'Ask with six pairs of hexadecimal digits, like 52:54:00:12:34:56.',
  );
}

/** The IPv4 side of this host's network interfaces. */

import { readFile } from 'node:fs/promises';
import os from 'node:os';

/** One IPv4 address of an interface. */
export interface InterfaceAddress {
  readonly interface: string;
  readonly address: string;
  readonly netmask: string;
  readonly mac: string;
  /** Loopback. */
  readonly internal: boolean;
}

/** Every IPv4 address of interfaces that are up, in the system's order. */
export function interfaceAddresses(): readonly InterfaceAddress[] {
  return Object.entries(os.networkInterfaces()).flatMap(([name, addresses]) =>
    (addresses ?? [])
      .filter((entry) => entry.family === 'IPv4')
      .map((entry) => ({
        interface: name,
        address: entry.address,
        netmask: entry.netmask,
        mac: entry.mac,
        internal: entry.internal,
      })),
  );
}

/** Largest IP datagram the interface carries unfragmented; 1500 where the system does not say. */
export async function interfaceMtu(name: string): Promise<number> {
  try {
    const mtu = Number.parseInt(await readFile(`/sys/class/net/${name}/mtu`, 'utf8'), 10);
    return Number.isInteger(mtu) && mtu >= 576 ? mtu : 1500;
  } catch {
    return 1500;
  }
}

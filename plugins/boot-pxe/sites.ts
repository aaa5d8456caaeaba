/** On which interfaces, under which addresses, machines reach us. */

import { OverdubError } from '@overdub/core/agent';
import type { InterfaceAddress } from '@overdub/lib-netboot';
import type { PxeOptions } from './options.ts';

/** One interface that we serve. */
export interface Site {
  readonly interface: string;
  readonly address: string;
  readonly netmask: string;
  /** The interface's own hardware address. */
  readonly mac: string;
  /** `http://10.0.0.1:7077`, where machines on this interface reach the appliance. */
  readonly baseUrl: string;
}

/** Picks the interfaces to serve from those there are. Throws CONFIG_INVALID, naming what there is. */
export function chooseSites(
  options: PxeOptions,
  present: readonly InterfaceAddress[],
  httpPort: number,
): readonly Site[] {
  const { address } = options;
  const names =
    options.interface === undefined
      ? [
          ...new Set(
            present.filter((entry) => wantedByDefault(entry, address)).map((entry) => entry.interface),
          ),
        ]
      : [options.interface].flat();
  const sites = names.map((name) => siteOn(name, address, present, httpPort));
  if (sites.length === 0) {
    throw wrong(
      address === undefined
        ? 'no network interface has an IPv4 address.'
        : `no interface has the address ${address}; there are ${listed(present)}.`,
    );
  }
  if (options.mode === 'server' && sites.length > 1 && options.interface === undefined) {
    throw wrong(`mode 'server' does not guess among several interfaces; say which: ${names.join(', ')}.`);
  }
  return sites;
}

function wantedByDefault(entry: InterfaceAddress, address: string | undefined): boolean {
  return address === undefined ? !entry.internal : entry.address === address;
}

function siteOn(
  name: string,
  address: string | undefined,
  present: readonly InterfaceAddress[],
  httpPort: number,
): Site {
  const here = present.filter((entry) => entry.interface === name);
  const entry = address === undefined ? here[0] : here.find((candidate) => candidate.address === address);
  if (entry === undefined) {
    const what =
      here.length === 0 ? 'does not exist, is down or has no IPv4 address' : `has no address ${address}`;
    throw wrong(`interface ${name} ${what}; there are ${listed(present)}.`);
  }
  return {
    interface: name,
    address: entry.address,
    netmask: entry.netmask,
    mac: entry.mac,
    baseUrl: `http://${entry.address}:${httpPort}`,
  };
}

function listed(present: readonly InterfaceAddress[]): string {
  return present.map((entry) => `${entry.interface} (${entry.address})`).join(', ') || 'none';
}

function wrong(what: string): OverdubError {
  return new OverdubError(
    'CONFIG_INVALID',
    `boot-pxe: ${what}`,
    'Set `interface` and `address` of boot-pxe to what `ip -4 address` shows.',
    { plugin: 'boot-pxe' },
  );
}

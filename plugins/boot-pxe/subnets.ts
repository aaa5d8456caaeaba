/** Which networks are served, and to which of them a request belongs. */

import { OverdubError } from '@overdub/core/agent';
import {
  type DhcpPacket,
  type Ipv4Network,
  networkAddress,
  parseCidr,
  relayInformation,
  sameNetwork,
} from '@overdub/lib-netboot';
import type { AddressPlan } from './address-choice.ts';
import type { PxeOptions } from './options.ts';
import type { Site } from './sites.ts';

const UNSET = '0.0.0.0';
const DEFAULT_LEASE_SECONDS = 43_200;

/** One network with its pool and settings. */
export interface Subnet extends AddressPlan {
  /** Default: none on our own networks; the relay elsewhere. */
  readonly router: string | undefined;
  readonly dns: readonly string[];
  readonly leaseSeconds: number;
}

/** Every network of the configuration, those of our own interfaces first. Throws CONFIG_INVALID. */
export function subnetsOf(options: PxeOptions, sites: readonly Site[]): readonly Subnet[] {
  const ours = sites.map((site) => site.address);
  const own = options.pool === undefined ? [] : [ownSubnet(options, options.pool, sites, ours)];
  const further = (options.subnets ?? []).map((each): Subnet => {
    const { network, netmask } = parseNetwork(each.network) as Ipv4Network;
    return subnet({ leaseSeconds: options.leaseSeconds, ...each, network, netmask }, ours);
  });
  const all = [...own, ...further];
  for (const [index, each] of all.entries()) {
    const other = all
      .slice(index + 1)
      .find((later) => contains(each, later.network) || contains(later, each.network));
    if (other !== undefined) throw wrong(`the subnets ${each.network} and ${other.network} overlap.`);
  }
  return all;
}

function ownSubnet(
  options: PxeOptions,
  pool: NonNullable<PxeOptions['pool']>,
  sites: readonly Site[],
  ours: readonly string[],
): Subnet {
  const netmaskOf = (site: Site): string => options.netmask ?? site.netmask;
  const site = sites.find((each) => sameNetwork(pool.from, each.address, netmaskOf(each)));
  if (site === undefined) {
    const here = sites.map((each) => `${each.address}, netmask ${netmaskOf(each)}`).join('; ');
    throw wrong(
      `the pool's ${pool.from} is not in the network of our address ${here}. ` +
        'Networks behind a relay belong in `subnets`.',
    );
  }
  const netmask = netmaskOf(site);
  const network = networkAddress(site.address, netmask);
  return subnet({ ...options, pool, network, netmask }, ours);
}

interface SubnetSettings extends Ipv4Network {
  readonly pool: { readonly from: string; readonly to: string };
  readonly router?: string | undefined;
  readonly dns?: readonly string[] | undefined;
  readonly leaseSeconds?: number | undefined;
}

function subnet(settings: SubnetSettings, ours: readonly string[]): Subnet {
  const { network, netmask, pool, router, dns = [], leaseSeconds = DEFAULT_LEASE_SECONDS } = settings;
  for (const address of [pool.from, pool.to, router]) {
    if (address === undefined || sameNetwork(address, network, netmask)) continue;
    throw wrong(`${address} is not in the network ${network}, netmask ${netmask}.`);
  }
  const taken = new Set([...ours, ...(router === undefined ? [] : [router]), ...dns]);
  return { network, netmask, pool, router, dns, leaseSeconds, taken };
}

/**
 * The network a request belongs to: what the relay's link selection says (RFC 3527 §3), else where the relay is
 * (RFC 2131 §4.3.1), else, since renewals come by unicast past every relay, where the client's address is, else
 * the interface's own. Undefined: none that is served.
 */
export function subnetFor(packet: DhcpPacket, site: Site, subnets: readonly Subnet[]): Subnet | undefined {
  const find = (address: string): Subnet | undefined => subnets.find((each) => contains(each, address));
  if (packet.giaddr !== UNSET) return withRelay(find(placeOf(packet)), packet);
  const holds = packet.ciaddr === UNSET ? undefined : find(packet.ciaddr);
  return holds ?? find(site.address);
}

/** What tells where a relayed client is. */
export function placeOf(packet: DhcpPacket): string {
  return relayInformation(packet).linkSelection ?? packet.giaddr;
}

/** The relay's own address is nobody's to lease, and the way out where no router was named. */
function withRelay(found: Subnet | undefined, { giaddr }: DhcpPacket): Subnet | undefined {
  if (found === undefined || !contains(found, giaddr)) return found;
  const taken = new Set([...found.taken, giaddr]);
  return { ...found, taken, router: found.router ?? giaddr };
}

function contains(network: Ipv4Network, address: string): boolean {
  return sameNetwork(address, network.network, network.netmask);
}

/** `10.2.0.0/24`; undefined unless the host part is zero and the length 8 to 30. */
export function parseNetwork(text: string): Ipv4Network | undefined {
  const length = Number(text.split('/')[1]);
  return length >= 8 && length <= 30 ? parseCidr(text) : undefined;
}

function wrong(what: string): OverdubError {
  return new OverdubError(
    'CONFIG_INVALID',
    `boot-pxe: ${what}`,
    'Correct the pool, netmask, router or subnets of boot-pxe and start again.',
    { plugin: 'boot-pxe' },
  );
}

/**
 * A router that says of itself, by IPv6, that it leads nowhere (RFC 4861 §4.2, router lifetime 0): every iPXE asks for
 * one at each boot, and where nobody answers waits a quarter of a minute before it goes on.
 * In a room with IPv6 it names the prefix, and who gives out addresses.
 */

import { writeFileSync } from 'node:fs';

/** IPv6 on the machines' network. */
export interface Ipv6Room {
  /** As in `fd77::/64`. The appliance is `1` in it. */
  readonly prefix: string;
  /**
   * Who gives a machine its address: a DHCPv6 server (flag M of RFC 4861 §4.2), or the machine itself under the router's
   * prefix (RFC 4862), with DHCPv6 for everything else (flag O).
   */
  readonly addresses: 'dhcp' | 'router';
}

const configurationOf = (ipv6?: Ipv6Room): string => `interface eth0 {
  AdvSendAdvert on;
  AdvDefaultLifetime 0;
  MinRtrAdvInterval 3;
  MaxRtrAdvInterval 10;
${ipv6 === undefined ? '' : prefixOf(ipv6)}};
`;

function prefixOf({ prefix, addresses }: Ipv6Room): string {
  return `  ${addresses === 'dhcp' ? 'AdvManagedFlag' : 'AdvOtherConfigFlag'} on;
  prefix ${prefix} {
    AdvOnLink on;
    AdvAutonomous ${addresses === 'dhcp' ? 'off' : 'on'};
  };
`;
}

/** The command of radvd(8) on a host of its own; writes its configuration beside `pidFile`. */
export function routerCommand(pidFile: string, ipv6?: Ipv6Room): string[] {
  const configuration = `${pidFile}.conf`;
  writeFileSync(configuration, configurationOf(ipv6));
  return ['radvd', '--nodaemon', '--logmethod', 'stderr', '--config', configuration, '--pidfile', pidFile];
}

/**
 * A router that says of itself, by IPv6, that it leads nowhere (RFC 4861 §4.2, router lifetime 0): every iPXE asks for
 * one at each boot, and where nobody answers waits a quarter of a minute before it goes on.
 * In a room with IPv6 it names the prefix, and sends clients to DHCPv6 for their addresses.
 */

import { writeFileSync } from 'node:fs';

const configurationOf = (prefix?: string): string => `interface eth0 {
  AdvSendAdvert on;
  AdvDefaultLifetime 0;
  MinRtrAdvInterval 3;
  MaxRtrAdvInterval 10;
${
  prefix === undefined
    ? ''
    : `  AdvManagedFlag on;
  prefix ${prefix} {
    AdvOnLink on;
    AdvAutonomous off;
  };
`
}};
`;

/** The command of radvd(8) on a host of its own; writes its configuration beside `pidFile`. */
export function routerCommand(pidFile: string, prefix?: string): string[] {
  const configuration = `${pidFile}.conf`;
  writeFileSync(configuration, configurationOf(prefix));
  return ['radvd', '--nodaemon', '--logmethod', 'stderr', '--config', configuration, '--pidfile', pidFile];
}

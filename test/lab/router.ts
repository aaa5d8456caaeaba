/**
 * A router that says of itself, by IPv6, that it leads nowhere (RFC 4861 §4.2, router lifetime 0): every iPXE asks for
 * one at each boot, and where nobody answers waits a quarter of a minute before it goes on.
 */

import { writeFileSync } from 'node:fs';

const CONFIGURATION = `interface eth0 {
  AdvSendAdvert on;
  AdvDefaultLifetime 0;
  MinRtrAdvInterval 3;
  MaxRtrAdvInterval 10;
};
`;

/** The command of radvd(8) on a host of its own; writes its configuration beside `pidFile`. */
export function routerCommand(pidFile: string): string[] {
  const configuration = `${pidFile}.conf`;
  writeFileSync(configuration, CONFIGURATION);
  return ['radvd', '--nodaemon', '--logmethod', 'stderr', '--config', configuration, '--pidfile', pidFile];
}

/** The server's network: one interface, `lan0`, by DHCP, in the words of whatever the image has. */

import type { RootFiles } from '../root-files.ts';

const UNIT = 'etc/systemd/network/05-overdub-lan0.network';
const STANZA = 'etc/network/interfaces.d/overdub';
const SOURCE_LINE = 'source /etc/network/interfaces.d/*';

/** Configures `lan0`. An image with neither ifupdown nor systemd-networkd is left to its own devices. */
export function configureNetwork(files: RootFiles): 'ifupdown' | 'networkd' | 'none' {
  const networkd = ['usr/lib/systemd/systemd-networkd', 'lib/systemd/systemd-networkd'].some((path) =>
    has(files, path),
  );
  const dhcp = ['dhclient', 'udhcpc', 'dhcpcd'].some((name) => program(files, name));
  if (program(files, 'ifup') && (dhcp || !networkd)) {
    writeInterfaces(files);
    return 'ifupdown';
  }
  if (!networkd) return 'none';
  writeNetworkd(files);
  return 'networkd';
}

function program(files: RootFiles, name: string): boolean {
  return ['usr/sbin', 'sbin', 'usr/bin', 'bin'].some((directory) => has(files, `${directory}/${name}`));
}

function has(files: RootFiles, path: string): boolean {
  return files.kind(path) !== 'none';
}

function writeInterfaces(files: RootFiles): void {
  const main = files.read('etc/network/interfaces') ?? 'auto lo\niface lo inet loopback\n';
  const sourced = /^\s*source(-directory)?\s+\/etc\/network\/interfaces\.d(\/\*)?\s*$/m.test(main);
  files.write('etc/network/interfaces', sourced ? main : `${SOURCE_LINE}\n\n${main}`);
  files.write(STANZA, 'auto lan0\niface lan0 inet dhcp\n');
}

function writeNetworkd(files: RootFiles): void {
  // With a fixed IAID the DUID, which is made of the machine-id, is the whole identity: it moves with the server.
  files.write(UNIT, '[Match]\nName=lan0\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nIAID=1\n\n[DHCPv6]\nIAID=1\n');
  const units =
    files.kind('usr/lib/systemd/system') === 'directory' ? '/usr/lib/systemd/system' : '/lib/systemd/system';
  const enable = (link: string, unit: string) =>
    files.symlink(`etc/systemd/system/${link}`, `${units}/${unit}`);
  enable('multi-user.target.wants/systemd-networkd.service', 'systemd-networkd.service');
  enable('dbus-org.freedesktop.network1.service', 'systemd-networkd.service');
  enable('sockets.target.wants/systemd-networkd.socket', 'systemd-networkd.socket');
  enable(
    'network-online.target.wants/systemd-networkd-wait-online.service',
    'systemd-networkd-wait-online.service',
  );
}

/** A router between two wires that passes DHCP on (RFC 1542): relays of others, as in any building. */

/** Its address on the appliance's wire, and its network on the far one. */
export const RELAY = { near: '10.77.0.9', far: '10.88.0.9', network: '10.88.0.0/24' } as const;

export type RelayKind = 'dhcrelay' | 'dnsmasq';

/** Commands that forward DHCP of the far wire to the servers at `to`. */
export function relayCommand(kind: RelayKind, to: readonly string[]): string[] {
  if (kind === 'dhcrelay') {
    return [
      'dhcrelay',
      '-4',
      '-d',
      '-a',
      '-m',
      'discard',
      '-pf',
      '/dev/null',
      '-iu',
      'eth0',
      '-id',
      'eth1',
      ...to,
    ];
  }
  return [
    ...['dnsmasq', '--keep-in-foreground', '--log-facility=-', '--log-dhcp', '--conf-file=/dev/null'],
    ...['--user=root', '--port=0', ...to.map((server) => `--dhcp-relay=${RELAY.far},${server}`)],
  ];
}

/** What it says when it is ready. */
export const RELAY_READY: Readonly<Record<RelayKind, RegExp>> = {
  dhcrelay: /Sending on +Socket/,
  dnsmasq: /DHCP relay from/,
};

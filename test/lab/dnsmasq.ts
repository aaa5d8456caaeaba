/** dnsmasq as another host's DHCP server: the field's referee for living beside one. */

export interface DnsmasqSpec {
  /** Its own address with prefix length, e.g. `10.77.0.2/24`. */
  readonly address: string;
  /** First and last IPv4 address it hands out. */
  readonly range?: readonly [string, string];
  /** Its IPv6 address with prefix length, and the first and last address that it hands out by DHCPv6. */
  readonly ipv6?: { readonly address: string; readonly range: readonly [string, string] };
  /** Further dnsmasq options as on its command line, e.g. `--dhcp-boot=pxelinux.0`. */
  readonly options?: readonly string[];
}

export function dnsmasqArguments(spec: DnsmasqSpec, leaseFile: string): string[] {
  return [
    'dnsmasq',
    '--keep-in-foreground',
    '--log-facility=-',
    '--log-dhcp',
    '--conf-file=/dev/null',
    '--user=root',
    '--port=0',
    '--interface=eth0',
    '--bind-interfaces',
    ...(spec.range === undefined ? [] : [`--dhcp-range=${spec.range.join()},10m`]),
    ...(spec.ipv6 === undefined
      ? []
      : [`--dhcp-range=${spec.ipv6.range.join()},${spec.ipv6.address.split('/')[1]},10m`]),
    `--dhcp-leasefile=${leaseFile}`,
    '--no-ping',
    ...(spec.options ?? []),
  ];
}

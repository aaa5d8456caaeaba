/** dnsmasq as another host's DHCP server: the field's referee for living beside one. */

export interface DnsmasqSpec {
  /** Its own address with prefix length, e.g. `10.77.0.2/24`. */
  readonly address: string;
  /** First and last address it hands out. */
  readonly range: readonly [string, string];
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
    `--dhcp-range=${spec.range[0]},${spec.range[1]},10m`,
    `--dhcp-leasefile=${leaseFile}`,
    '--no-ping',
    ...(spec.options ?? []),
  ];
}

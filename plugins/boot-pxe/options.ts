/** What boot-pxe can be told. */

import { normalizeMac, OverdubError } from '@overdub/core/agent';
import { isNetmask, parseIpv4, parseIpv6 } from '@overdub/lib-netboot';
import { type Static, Type } from 'typebox';
import { parseNetwork } from './subnets.ts';

const ADDRESS = '^\\d{1,3}(\\.\\d{1,3}){3}$';
const Address = Type.String({ pattern: ADDRESS });
const Address6 = Type.String({ pattern: '^[0-9A-Fa-f:.]{2,45}$' });
const Interface = Type.String({ pattern: '^[^/\\s]{1,15}$' });
const LeaseSeconds = Type.Integer({ minimum: 60, maximum: 31_536_000 });
const Port = Type.Integer({ minimum: 1, maximum: 65535 });

export const PxeOptions = Type.Object(
  {
    interface: Type.Optional(
      Type.Union([Interface, Type.Array(Interface, { minItems: 1 })], {
        description: 'Where machines boot. Default: every interface with an IPv4 address, loopback excepted.',
      }),
    ),
    address: Type.Optional(
      Type.String({
        pattern: ADDRESS,
        description: 'Our address there. Default: the first IPv4 address of the interface.',
      }),
    ),
    mode: Type.Optional(
      Type.Union([Type.Literal('proxy'), Type.Literal('server')], {
        description:
          '`proxy` (default): beside the network’s own DHCP server. `server`: we are the DHCP server of an isolated network.',
      }),
    ),
    pool: Type.Optional(
      Type.Object(
        { from: Address, to: Address },
        {
          additionalProperties: false,
          description: 'Server mode: first and last address to lease.',
        },
      ),
    ),
    subnets: Type.Optional(
      Type.Array(
        Type.Object(
          {
            network: Type.String({ pattern: '^\\d{1,3}(\\.\\d{1,3}){3}/\\d{1,2}$' }),
            pool: Type.Object({ from: Address, to: Address }, { additionalProperties: false }),
            router: Type.Optional(Address),
            dns: Type.Optional(Type.Array(Address)),
            leaseSeconds: Type.Optional(LeaseSeconds),
          },
          { additionalProperties: false },
        ),
        {
          description:
            'Server mode: further networks, behind relays or on further interfaces: `network` (`10.2.0.0/24`), `pool`, `router` (default behind a relay: the relay), `dns`, `leaseSeconds`.',
        },
      ),
    ),
    netmask: Type.Optional(
      Type.String({ pattern: ADDRESS, description: 'Server mode. Default: the interface’s.' }),
    ),
    router: Type.Optional(
      Type.String({ pattern: ADDRESS, description: 'Server mode: default route. Default: none.' }),
    ),
    dns: Type.Optional(Type.Array(Address, { description: 'Server mode: name servers. Default: none.' })),
    leaseSeconds: Type.Optional({ ...LeaseSeconds, description: 'Server mode. Default 43200 (12 hours).' }),
    conflictProbeMs: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 5000,
        description:
          'Server mode: how long to wait for somebody who already uses a newly offered address. Offers do not wait, only a REQUEST that comes sooner. Default 300; 0 does not look.',
      }),
    ),
    probeSeconds: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 20,
        description:
          'Server mode: how long to look for another DHCP server at start. Default 4; 0 does not look.',
      }),
    ),
    tftp: Type.Optional(
      Type.Object(
        { port: Type.Optional(Port) },
        { additionalProperties: false, description: 'TFTP port. Default 69, the only one firmware asks.' },
      ),
    ),
    quirks: Type.Optional(
      Type.Record(
        Type.String(),
        Type.Object(
          {
            option43: Type.Optional(Type.Boolean()),
            vendorClass: Type.Optional(Type.Boolean()),
            bootFile: Type.Optional(
              Type.Union([Type.Literal('both'), Type.Literal('field'), Type.Literal('option')]),
            ),
            nulTerminated: Type.Optional(Type.Boolean()),
            unicast: Type.Optional(Type.Boolean()),
          },
          { additionalProperties: false },
        ),
        {
          description:
            'By MAC address: `option43: false` leaves out the PXE discovery control, `vendorClass: false` leaves out option 60; `bootFile: "field"` or `"option"` names the file there only; `nulTerminated: false` ends options 66 and 67 without NUL; `unicast: true` answers to the hardware address instead of to everybody.',
        },
      ),
    ),
    ipv6: Type.Optional(
      Type.Object(
        {
          address: Type.Optional(Address6),
          pool: Type.Optional(Type.Object({ from: Address6, to: Address6 }, { additionalProperties: false })),
          leaseSeconds: Type.Optional(LeaseSeconds),
          dns: Type.Optional(Type.Array(Address6)),
        },
        {
          additionalProperties: false,
          description:
            'Boot URLs by DHCPv6 as well, for UEFI HTTP Boot, iPXE and, with a pool, PXE over IPv6: `address` (ours, default the first of the interface that is not link-local), `pool` of addresses to lease where no other DHCPv6 server does, `leaseSeconds`, `dns`. Default: no DHCPv6.',
        },
      ),
    ),
    ports: Type.Optional(
      Type.Object(
        { server: Type.Optional(Port), client: Type.Optional(Port), proxy: Type.Optional(Port) },
        {
          additionalProperties: false,
          description: 'Other ports than 67, 68 and 4011, for trials without privilege.',
        },
      ),
    ),
  },
  { additionalProperties: false },
);

export type PxeOptions = Static<typeof PxeOptions>;

export type Ipv6Options = NonNullable<PxeOptions['ipv6']>;

/** Firmware quirks of one machine. */
export interface Quirks {
  readonly option43?: boolean;
  readonly vendorClass?: boolean;
  /** Where the boot file is named: the BOOTP `file` field, option 67, or both (default). */
  readonly bootFile?: 'both' | 'field' | 'option' | undefined;
  /** Do options 66 and 67 end in NUL? Default true. */
  readonly nulTerminated?: boolean;
  /** Answer to the hardware address, never by broadcast. */
  readonly unicast?: boolean;
}

export interface Ports {
  readonly server: number;
  readonly client: number;
  readonly proxy: number;
}

/** 67, 68 and 4011 (RFC 2131 §4.1, PXE 2.1 §2.2) unless told otherwise. */
export function portsOf(options: PxeOptions): Ports {
  return { server: 67, client: 68, proxy: 4011, ...options.ports };
}

const SERVER_ONLY = [
  'pool',
  'subnets',
  'netmask',
  'router',
  'dns',
  'leaseSeconds',
  'probeSeconds',
  'conflictProbeMs',
] as const;

/** Contradictions that a schema cannot say. Throws CONFIG_INVALID; no I/O. */
export function checkOptions(options: PxeOptions): void {
  const networks = [options, ...(options.subnets ?? [])];
  const addresses = networks.flatMap(({ router, dns = [], pool }) => [router, ...dns, pool?.from, pool?.to]);
  for (const address of [options.address, options.netmask, ...addresses]) {
    if (address !== undefined && parseIpv4(address) === undefined)
      throw wrong(`${address} is no IPv4 address.`);
  }
  if (options.netmask !== undefined && !isNetmask(options.netmask)) {
    throw wrong(`netmask ${options.netmask} is not ones followed by zeros.`);
  }
  for (const mac of Object.keys(options.quirks ?? {})) {
    if (normalizeMac(mac) === undefined)
      throw wrong(`quirks are by MAC address, and ${JSON.stringify(mac)} is none.`);
  }
  checkIpv6(options.ipv6 ?? {});
  if (options.mode !== 'server') {
    const only = SERVER_ONLY.filter((key) => options[key] !== undefined);
    if (only.length > 0) throw wrong(`${only.join(', ')} belong to mode 'server', but the mode is 'proxy'.`);
    return;
  }
  const pools = [options, ...(options.subnets ?? [])].flatMap(({ pool }) => pool ?? []);
  if (pools.length === 0) {
    throw wrong("mode 'server' needs a pool of addresses: pool: { from: '10.0.0.100', to: '10.0.0.200' }.");
  }
  for (const { network } of options.subnets ?? []) {
    if (parseNetwork(network) === undefined)
      throw wrong(`${network} is no network: its first address and 8 to 30 bits, as in 10.2.0.0/24.`);
  }
  for (const pool of pools) checkPool(pool);
}

function checkIpv6({ address, pool, dns = [] }: Ipv6Options): void {
  for (const each of [address, pool?.from, pool?.to, ...dns]) {
    if (each !== undefined && parseIpv6(each) === undefined) throw wrong(`${each} is no IPv6 address.`);
  }
  const [from, to] = [parseIpv6(pool?.from ?? ''), parseIpv6(pool?.to ?? '')];
  if (from !== undefined && to !== undefined && Buffer.compare(from, to) > 0)
    throw wrong(`the pool ends (${pool?.to}) before it begins (${pool?.from}).`);
}

function checkPool(pool: { readonly from: string; readonly to: string }): void {
  const [from, to] = [parseIpv4(pool.from) as number, parseIpv4(pool.to) as number];
  if (from > to) throw wrong(`the pool ends (${pool.to}) before it begins (${pool.from}).`);
  if (to - from >= 1 << 20) throw wrong('the pool has more than 1,048,576 addresses.');
}

function wrong(what: string): OverdubError {
  return new OverdubError(
    'CONFIG_INVALID',
    `boot-pxe: ${what}`,
    'Correct the options of boot-pxe and start again.',
    {
      plugin: 'boot-pxe',
    },
  );
}

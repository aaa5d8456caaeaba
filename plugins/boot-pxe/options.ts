/** What boot-pxe can be told. */

import { normalizeMac, OverdubError } from '@overdub/core/agent';
import { isNetmask, parseIpv4, sameNetwork } from '@overdub/lib-netboot';
import { type Static, Type } from 'typebox';

const ADDRESS = '^\\d{1,3}(\\.\\d{1,3}){3}$';
const Address = Type.String({ pattern: ADDRESS });
const Interface = Type.String({ pattern: '^[^/\\s]{1,15}$' });
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
    netmask: Type.Optional(
      Type.String({ pattern: ADDRESS, description: 'Server mode. Default: the interface’s.' }),
    ),
    router: Type.Optional(
      Type.String({ pattern: ADDRESS, description: 'Server mode: default route. Default: none.' }),
    ),
    dns: Type.Optional(Type.Array(Address, { description: 'Server mode: name servers. Default: none.' })),
    leaseSeconds: Type.Optional(
      Type.Integer({
        minimum: 60,
        maximum: 31_536_000,
        description: 'Server mode. Default 43200 (12 hours).',
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
          },
          { additionalProperties: false },
        ),
        {
          description:
            'By MAC address: `option43: false` leaves out the PXE discovery control, `vendorClass: false` leaves out option 60.',
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

/** Firmware quirks of one machine. */
export interface Quirks {
  readonly option43?: boolean;
  readonly vendorClass?: boolean;
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

/** Contradictions that a schema cannot say. Throws CONFIG_INVALID; no I/O. */
export function checkOptions(options: PxeOptions): void {
  const addresses = [options.address, options.netmask, options.router, options.pool?.from, options.pool?.to];
  for (const address of [...addresses, ...(options.dns ?? [])]) {
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
  if (options.mode !== 'server') {
    const only = (['pool', 'netmask', 'router', 'dns', 'leaseSeconds', 'probeSeconds'] as const).filter(
      (key) => options[key] !== undefined,
    );
    if (only.length > 0) throw wrong(`${only.join(', ')} belong to mode 'server', but the mode is 'proxy'.`);
    return;
  }
  if (options.pool === undefined) {
    throw wrong("mode 'server' needs a pool of addresses: pool: { from: '10.0.0.100', to: '10.0.0.200' }.");
  }
  const [from, to] = [parseIpv4(options.pool.from) as number, parseIpv4(options.pool.to) as number];
  if (from > to) throw wrong(`the pool ends (${options.pool.to}) before it begins (${options.pool.from}).`);
  if (to - from >= 1 << 20) throw wrong('the pool has more than 1,048,576 addresses.');
}

/** What only the interface tells: does the pool lie in its network? Throws CONFIG_INVALID. */
export function checkPool(options: PxeOptions, address: string, netmask: string): void {
  for (const end of [options.pool?.from, options.pool?.to, options.router]) {
    if (end !== undefined && !sameNetwork(end, address, netmask)) {
      throw wrong(`${end} is not in the network of our address ${address}, netmask ${netmask}.`);
    }
  }
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

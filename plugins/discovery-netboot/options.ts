/** What discovery-netboot can be told. */

import { OverdubError } from '@overdub/core';
import { formatIpv4, networkAddress, parseCidr, parseIpv4 } from '@overdub/lib-netboot';
import { type Static, Type } from 'typebox';

const Decision = Type.Union([Type.Literal('hold'), Type.Literal('accept'), Type.Literal('reject')]);

const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';
const Text = Type.Optional(Type.String({ minLength: 1 }));

const Rule = Type.Object(
  {
    mac: Type.Optional(
      Type.String({
        pattern: '^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){0,5}$',
        description: 'The MAC address, or its first bytes: `52:54:00`.',
      }),
    ),
    uuid: Type.Optional(
      Type.String({
        pattern: UUID,
        description: 'The SMBIOS UUID.',
      }),
    ),
    subnet: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'The IPv4 network it was seen on, as in `10.2.0.0/24`: by its relay, its own address, or the interface that heard it.',
      }),
    ),
    labels: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        minProperties: 1,
        description: 'Labels of its record, all of them: set by hand or by discovery-static.',
      }),
    ),
    facts: Type.Optional(
      Type.Object(
        {
          arch: Type.Optional(Type.Union([Type.Literal('x86_64'), Type.Literal('arm64')])),
          firmware: Type.Optional(Type.Union([Type.Literal('bios'), Type.Literal('uefi')])),
          vendor: Text,
          product: Text,
          memoryGiB: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
          diskGB: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
        },
        {
          additionalProperties: false,
          minProperties: 1,
          description:
            'What its agent reports: `arch`, `firmware`, DMI `vendor` and `product` (whole, any case), at least so much memory, at least one fixed disk of that size.',
        },
      ),
    ),
    controller: Type.Optional(
      Type.Object(
        {
          vendor: Text,
          product: Text,
          serial: Text,
          uuid: Type.Optional(Type.String({ pattern: UUID })),
          mac: Type.Optional(Type.String({ pattern: '^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$' })),
          biosVersion: Text,
          firmwareVersion: Text,
        },
        {
          additionalProperties: false,
          minProperties: 1,
          description:
            'What its management controller says, asked by its power driver: `vendor`, `product`, `serial`, `uuid` and `biosVersion` of the machine, `mac` and `firmwareVersion` of the controller; whole, any case.',
        },
      ),
    ),
    admission: Type.Optional(Decision),
    setLabels: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$' }),
        Type.String({ maxLength: 255 }),
        {
          additionalProperties: false,
          minProperties: 1,
          description: 'Labels that the machine gets. Those set by hand win.',
        },
      ),
    ),
  },
  { additionalProperties: false, minProperties: 2 },
);

export const DiscoveryOptions = Type.Object(
  {
    admission: Type.Optional(
      Type.Union(Decision.anyOf, {
        description:
          'For machines that no rule names. `hold` (default) waits for an administrator, `accept` lets every machine in, `reject` answers none.',
      }),
    ),
    rules: Type.Optional(
      Type.Array(Rule, {
        description:
          'The first rule with an `admission` whose every condition fits decides. Labels come from it and from those before it that fit.',
      }),
    ),
  },
  { additionalProperties: false },
);

export type DiscoveryOptions = Static<typeof DiscoveryOptions>;
export type AdmissionRule = Static<typeof Rule>;

/** What a schema cannot say. Throws CONFIG_INVALID, naming the rule; no I/O. */
export function checkRules({ rules = [] }: DiscoveryOptions): void {
  for (const [index, { admission, setLabels, ...conditions }] of rules.entries()) {
    const rule = `rule ${index + 1}`;
    if (admission === undefined && setLabels === undefined)
      throw wrong(`${rule} has neither an admission nor setLabels.`);
    if (Object.keys(conditions).length === 0)
      throw wrong(`${rule} has no condition; what holds for every machine is the option admission.`);
    if (conditions.subnet !== undefined) checkSubnet(conditions.subnet, rule);
  }
}

function checkSubnet(subnet: string, rule: string): void {
  if (parseCidr(subnet) !== undefined) return;
  const [address = '', bits = ''] = subnet.split('/');
  const host = parseIpv4(address) !== undefined && /^\d{1,2}$/.test(bits) && Number(bits) <= 32;
  const network = `${networkOf(address, Number(bits))}/${bits}`;
  throw wrong(
    host
      ? `the subnet ${subnet} of ${rule} has bits of a host; its network is ${network}.`
      : `the subnet ${JSON.stringify(subnet)} of ${rule} is no IPv4 network: write its first address and 0 to 32 bits, as in 10.2.0.0/24.`,
  );
}

function networkOf(address: string, bits: number): string {
  const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
  return networkAddress(address, formatIpv4(mask));
}

function wrong(what: string): OverdubError {
  return new OverdubError(
    'CONFIG_INVALID',
    `discovery-netboot: ${what}`,
    'Correct `rules` in its options and start again.',
    { plugin: 'discovery-netboot' },
  );
}

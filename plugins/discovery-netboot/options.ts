/** What discovery-netboot can be told. */

import { type Static, Type } from 'typebox';

const Decision = Type.Union([Type.Literal('hold'), Type.Literal('accept'), Type.Literal('reject')]);

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
        pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$',
        description: 'The SMBIOS UUID.',
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
          vendor: Type.Optional(Type.String({ minLength: 1 })),
          product: Type.Optional(Type.String({ minLength: 1 })),
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
    admission: Decision,
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
      Type.Array(Rule, { description: 'The first rule whose every condition fits decides.' }),
    ),
  },
  { additionalProperties: false },
);

export type DiscoveryOptions = Static<typeof DiscoveryOptions>;
export type AdmissionRule = Static<typeof Rule>;

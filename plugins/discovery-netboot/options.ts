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

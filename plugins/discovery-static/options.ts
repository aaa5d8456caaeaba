/** What discovery-static can be told. */

import { normalizeMac, OverdubError } from '@overdub/core';
import { type Static, Type } from 'typebox';

const MAC = '^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$';

export const StaticOptions = Type.Object(
  {
    machines: Type.Array(
      Type.Object(
        {
          name: Type.String({
            pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
            description: 'What it is called.',
          }),
          macs: Type.Array(Type.String({ pattern: MAC }), {
            minItems: 1,
            description: 'All its network interfaces.',
          }),
          labels: Type.Optional(
            Type.Record(Type.String(), Type.String(), { description: 'Labels for rules and people.' }),
          ),
          admission: Type.Optional(
            Type.Union([Type.Literal('accept'), Type.Literal('hold'), Type.Literal('reject')], {
              description: 'Default `accept`.',
            }),
          ),
        },
        { additionalProperties: false },
      ),
      { description: 'The machines there are.' },
    ),
  },
  { additionalProperties: false },
);

export type StaticOptions = Static<typeof StaticOptions>;

/** One configured machine, its addresses in the form the rest of the system uses. */
export interface DeclaredMachine {
  readonly name: string;
  readonly macs: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly admission: 'accept' | 'hold' | 'reject';
}

/** The machines by MAC address. Throws CONFIG_INVALID when two share a name or an address. */
export function declaredMachines(options: StaticOptions): ReadonlyMap<string, DeclaredMachine> {
  const byMac = new Map<string, DeclaredMachine>();
  const names = new Set<string>();
  for (const { name, macs, labels = {}, admission = 'accept' } of options.machines) {
    if (names.has(name)) throw wrong(`two machines are called ${name}.`);
    names.add(name);
    const addresses = macs.map((mac) => normalizeMac(mac) ?? refuse(name, mac));
    const machine = { name, macs: [...new Set(addresses)], labels, admission };
    for (const mac of machine.macs) {
      const other = byMac.get(mac);
      if (other !== undefined) throw wrong(`${other.name} and ${name} both have the MAC address ${mac}.`);
      byMac.set(mac, machine);
    }
  }
  return byMac;
}

function refuse(name: string, mac: string): never {
  throw wrong(`${mac} of ${name} is no MAC address of a machine.`);
}

function wrong(what: string): OverdubError {
  return new OverdubError(
    'CONFIG_INVALID',
    `discovery-static: ${what}`,
    'Correct `machines` in its options.',
    {
      plugin: 'discovery-static',
    },
  );
}

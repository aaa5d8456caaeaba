/** Machines that netboot: who they are, and whether they may have a role. */

import {
  type AdmissionDecision,
  definePlugin,
  type Machine,
  OverdubError,
  type PluginContext,
  type Sighting,
} from '@overdub/core';
import { decideAdmission } from './admit.ts';
import { knownMachine } from './identify.ts';
import { checkRules, DiscoveryOptions } from './options.ts';

/** See README.md. */
export default definePlugin({
  name: 'discovery-netboot',
  apiVersion: '^1.0.0',
  options: DiscoveryOptions,
  apply(ctx, options) {
    checkRules(options);
    ctx.hooks.discovery.identify.tap(async (sighting) => {
      // An agent proves who it is by its boot nonce, which only the core can compare with what it reports.
      if (sighting.via === 'agent') return undefined;
      const machine =
        (await byMac(ctx, sighting.mac)) ?? knownMachine(sighting, await sharers(ctx, sighting.uuid));
      return machine && { machineId: machine.id };
    });
    ctx.hooks.discovery.admit.tap(({ sighting, machine, sharer }) => {
      const decision = decideAdmission(knownOf(sighting, machine), machine, options);
      return decision.admission === 'accepted' && sharer !== undefined
        ? { ...decision, ...heldFor(sharer) }
        : decision;
    });
    return undefined;
  },
});

/** What is seen now, and what is on record of it. */
function knownOf(sighting: Sighting, machine: Machine): Sighting {
  const facts = sighting.facts ?? machine.facts;
  const seenOn = sighting.seenOn ?? machine.seenOn;
  return {
    ...sighting,
    ...(facts === undefined ? {} : { facts }),
    ...(seenOn === undefined ? {} : { seenOn }),
  };
}

function heldFor(other: Machine): AdmissionDecision {
  return {
    admission: 'held',
    reason: `claims the SMBIOS UUID of ${other.name} under another MAC address; accept it by hand if that is right`,
  };
}

async function byMac(ctx: PluginContext, mac: string): Promise<Machine | undefined> {
  try {
    return await ctx.control.getMachine(mac);
  } catch (error) {
    if (error instanceof OverdubError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

/** Only asked when the MAC address is new. */
async function sharers(ctx: PluginContext, uuid: string | undefined): Promise<readonly Machine[]> {
  if (uuid === undefined) return [];
  return ctx.control.listMachines({ uuid });
}

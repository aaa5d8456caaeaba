/** Machines that the configuration names: known and admitted before they are first seen. */

import { type Admission, definePlugin, type Machine, OverdubError, type PluginContext } from '@overdub/core';
import { type DeclaredMachine, declaredMachines, StaticOptions } from './options.ts';

const ADMISSIONS: Readonly<Record<DeclaredMachine['admission'], Admission>> = {
  accept: 'accepted',
  hold: 'held',
  reject: 'rejected',
};

/** See README.md. */
export default definePlugin({
  name: 'discovery-static',
  apiVersion: '^1.0.0',
  options: StaticOptions,
  apply(ctx, options) {
    const declared = declaredMachines(options);
    ctx.hooks.discovery.identify.tap(async ({ mac }) => {
      const machine = declared.get(mac);
      if (machine === undefined) return undefined;
      const known = await firstKnown(ctx, [mac, ...machine.macs]);
      if (known !== undefined) return { machineId: known.id };
      const { name, macs, labels } = machine;
      return { declare: { name, macs, labels } };
    });
    ctx.hooks.discovery.admit.tap(({ sighting, machine: { macs } }) => {
      const mac = [sighting.mac, ...macs].find((each) => declared.has(each));
      const machine = mac === undefined ? undefined : declared.get(mac);
      if (machine === undefined) return undefined;
      return {
        admission: ADMISSIONS[machine.admission],
        reason: `declared in the configuration as ${machine.name}`,
      };
    });
    return undefined;
  },
});

/** A record made earlier, under any of the machine's addresses, is that machine. */
async function firstKnown(ctx: PluginContext, macs: readonly string[]): Promise<Machine | undefined> {
  for (const mac of macs) {
    try {
      return await ctx.control.getMachine(mac);
    } catch (error) {
      if (!(error instanceof OverdubError && error.code === 'NOT_FOUND')) throw error;
    }
  }
  return undefined;
}

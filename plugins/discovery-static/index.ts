/** Machines that the configuration names: known and admitted before they are first seen. */

import { type Admission, definePlugin } from '@overdub/core';
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
    // Declared whether seen before or not: the core finds a record under any of the addresses, and still checks
    // that an agent comes with the boot nonce of the machine it claims to be.
    ctx.hooks.discovery.identify.tap(({ mac }) => {
      const machine = declared.get(mac);
      if (machine === undefined) return undefined;
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

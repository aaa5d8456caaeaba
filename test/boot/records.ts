/** What an appliance has on record about an emulated machine. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from '@overdub/core';
import { type DemoAppliance, OVERDUB } from '../../examples/demo/appliance.ts';
import { OverdubCommand } from '../../examples/demo/overdub.ts';
import type { Lab, LabMachine } from '../lab/index.ts';

/** Power-on to a held machine takes 30 to 90 s on two idle cores in software emulation, several times that on busy ones. */
const BOOT_SECONDS = 1200;
const FACTS_SECONDS = 60;

export interface Room {
  readonly lab: Lab;
  readonly appliance: DemoAppliance;
}

/** The machine's record once its agent has said hello, is held, and has reported. */
export async function heldRecord(room: Room, machine: LabMachine): Promise<Machine> {
  await machine.waitForConsole(/overdub: .*held: waiting for an administrator/, {
    signal: AbortSignal.timeout(BOOT_SECONDS * 1000),
  });
  return await recordWith(room, machine, ({ facts }) => facts !== undefined);
}

/** The machine's record once it is as wanted; rejects after a minute. */
export async function recordWith(
  room: Room,
  machine: LabMachine,
  wanted: (record: Machine) => boolean,
): Promise<Machine> {
  for (const signal = AbortSignal.timeout(FACTS_SECONDS * 1000); ; await sleep(1000)) {
    const seen = await recordOf(room, machine);
    if (seen !== undefined && wanted(seen)) return seen;
    if (signal.aborted) {
      const last = JSON.stringify(seen);
      throw new Error(
        `never on record: ${wanted}; last: ${last}; on its console:\n${machine.console.tail()}`,
      );
    }
  }
}

export async function recordOf({ lab, appliance }: Room, machine: LabMachine): Promise<Machine | undefined> {
  const { url, token } = appliance;
  const overdub = new OverdubCommand((line, options) => lab.exec(line, options), OVERDUB, url, token);
  const machines = await overdub.quiet<Machine[]>('machine', 'list');
  return machines.find(({ macs }) => macs.includes(machine.mac));
}

/** Which known machine was seen? Pure. */

import type { Machine, Sighting } from '@overdub/core';

/**
 * By MAC address first. A UUID alone proves nothing (boards come with copied ones): it only counts when the
 * hardware that was reported ties the new address to the known machine. Otherwise `undefined`: the core makes a
 * new record, held, with the reason.
 */
export function knownMachine(sighting: Sighting, machines: readonly Machine[]): Machine | undefined {
  const byMac = machines.find((machine) => machine.macs.includes(sighting.mac));
  if (byMac !== undefined || sighting.uuid === undefined) return byMac;
  const claimed = machines.filter((machine) => machine.uuid === sighting.uuid);
  const tied = claimed.filter((machine) => isTied(sighting, machine));
  return tied.length === 1 ? tied[0] : undefined;
}

/** One box, two addresses: its facts list the one seen now, or what is seen now lists one of its. */
function isTied(sighting: Sighting, machine: Machine): boolean {
  const reported = sighting.facts?.nics.map((nic) => nic.mac) ?? [];
  const known = machine.facts?.nics.map((nic) => nic.mac) ?? [];
  return known.includes(sighting.mac) || machine.macs.some((mac) => reported.includes(mac));
}

/** What a machine boots, by its record and the open operations: a pure table. */

import type { BootPlan } from '../contracts/boot.ts';
import type { Machine } from '../domain/machine.ts';
import type { Server } from '../domain/server.ts';

export interface PlanInput {
  readonly machine: Machine;
  /** The server the machine's record names, if there is one. */
  readonly server: Server | undefined;
  /** What an open operation wants this machine to boot. */
  readonly wish: 'ramdisk' | 'local' | undefined;
}

/**
 * Rejected → silent; an open operation decides for its machine; a machine that carries its server's present
 * generation boots its disk while that server is sound; everything else (held, free, risen from the dead, half
 * restored) waits in the ramdisk.
 */
export function proposePlan({ machine, server, wish }: PlanInput): BootPlan['kind'] {
  if (machine.admission === 'rejected') return 'silent';
  if (wish !== undefined) return wish;
  const current =
    server !== undefined &&
    machine.serverName === server.name &&
    server.machineId === machine.id &&
    server.generation === machine.generation;
  return current && server.state === 'running' ? 'local' : 'ramdisk';
}

/** The ramdisk for a machine that runs: it need not go through its firmware. */

import { kernelArguments, ramdiskArtifacts } from '../domain/boot.ts';
import type { RamdiskBoot } from '../domain/protocol.ts';
import type { OperationServices } from './services.ts';

/** A machine with this label set to `off` always goes through its firmware: some hardware does not survive kexec. */
export const KEXEC_LABEL = 'kexec';

/** Undefined for machines that must go through their firmware: by label, or of another architecture than x86-64. */
export async function ramdiskBoot(
  { catalogue, clock }: Pick<OperationServices, 'catalogue' | 'clock'>,
  machineId: string,
): Promise<RamdiskBoot | undefined> {
  const machine = await catalogue.machines.get(machineId);
  if (machine === undefined || machine.labels[KEXEC_LABEL] === 'off') return undefined;
  if (machine.facts?.arch !== 'x86_64') return undefined;
  return {
    ...ramdiskArtifacts('x86_64'),
    kernelArguments: kernelArguments('x86_64'),
    nonce: await catalogue.nonces.mint(machineId, clock.now(), 'durable'),
  };
}

/** A machine becomes a server. */

import type { Server } from '../domain/server.ts';
import { OverdubError } from '../errors.ts';
import { assertAssignable, claim, unclaim } from './assignment.ts';
import { HOUR_MS, type OperationDefinition, recall, type StepContext } from './definition.ts';
import { assertDriven } from './drivers.ts';
import { assertArchFits, assertBootable, assertDiskFits, findMaster, imageFor } from './images.ts';
import { enterRamdiskStep, type InstallMemory, installOf, installSteps } from './install-steps.ts';
import { machineOf } from './machine-steps.ts';
import type { OperationServices } from './services.ts';

/** check → claim → enter-ramdisk → install → boot-local → await-server → finish. */
export function provision(services: OperationServices): OperationDefinition {
  const steps = [
    { name: 'check', deadlineMs: HOUR_MS, run: (context: StepContext) => check(services, context) },
    {
      name: 'claim',
      deadlineMs: HOUR_MS,
      run: (context: StepContext) => {
        const { server, machineId, generation } = installOf(context.operation);
        return claim(services, { server, machineId, generation, state: 'provisioning' });
      },
    },
    enterRamdiskStep(services),
    ...installSteps(services),
  ];
  return {
    kind: 'provision',
    steps: () => steps,
    async undo(operation, error) {
      const { generation } = recall<InstallMemory>(operation);
      const { server, machineId } = operation;
      if (generation === undefined || server === undefined || machineId === undefined) return;
      const state = error.code === 'OPERATION_CANCELLED' ? 'unassigned' : 'failed';
      await unclaim(services, { server, machineId, generation, state });
    },
  };
}

async function check(services: OperationServices, context: StepContext): Promise<void> {
  const { operation } = context;
  const server = await services.servers.get(operation.server ?? '');
  const machine = await machineOf(services, operation.machineId ?? '');
  await checkProvision(services, server, machine.id);
  const image = await imageFor(services.repository, server);
  await context.remember({ image, generation: server.generation + 1 });
}

/**
 * Can this server be installed on this machine? Also asked before the operation is queued, so that the caller hears
 * at once. MACHINE_HELD, CONFLICT, MASTER_UNBOOTABLE, DISK_UNSUITABLE.
 */
export async function checkProvision(
  services: Pick<OperationServices, 'catalogue' | 'repository'>,
  server: Server,
  machineId: string,
): Promise<void> {
  const { catalogue, repository } = services;
  if (server.machineId !== undefined) {
    const carrier = await catalogue.machines.get(server.machineId);
    throw new OverdubError(
      'CONFLICT',
      `${server.name} runs on ${carrier?.name ?? server.machineId} already.`,
      `Take it there with overdub move ${server.name} --to MACHINE, or release it first: overdub server release.`,
    );
  }
  const machine = await catalogue.machines.get(machineId);
  if (machine === undefined) return;
  await assertAssignable(catalogue, machine, server.name);
  const image = await imageFor(repository, server);
  if (server.master !== undefined && image.fresh) {
    assertArchFits(machine, await findMaster(repository, server.master));
  }
  const kernel = await assertBootable(repository, image);
  assertDiskFits(machine, image.manifest);
  await assertDriven(repository, image, kernel, machine);
}

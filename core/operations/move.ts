/** A server leaves its machine, dead or alive, and comes back on another one as its newest snapshot has it. */

import type { Server } from '../domain/server.ts';
import { OverdubError } from '../errors.ts';
import { assertAssignable, claim, unclaim } from './assignment.ts';
import { HOUR_MS, type OperationDefinition, recall, type StepContext } from './definition.ts';
import { assertDriven } from './drivers.ts';
import { assertBootable, assertDiskFits, latestSnapshot, snapshotImage } from './images.ts';
import {
  enterRamdiskStep,
  type InstallMemory,
  installOf,
  installSteps,
  PEOPLE_DEADLINE_MS,
} from './install-steps.ts';
import { machineOf, orderReboot } from './machine-steps.ts';
import type { OperationServices } from './services.ts';

interface MoveMemory extends InstallMemory {
  readonly oldMachineId: string;
}

const RETIRE_PATIENCE_MS = 120_000;
/** A living agent answers at once; one that does not is asked again when the new disk is written. */
const RETIRE_ABSENCE_MS = 5_000;

/**
 * check → enter-ramdisk → claim → retire → install → await-retired → boot-local → await-server → finish. Until the
 * claim nothing has changed for the server; from the claim on its old machine is held wherever it shows up.
 */
export function move(services: OperationServices): OperationDefinition {
  const steps = [
    { name: 'check', deadlineMs: HOUR_MS, run: (context: StepContext) => check(services, context) },
    enterRamdiskStep(services),
    {
      name: 'claim',
      deadlineMs: HOUR_MS,
      destructive: true as const,
      run: (context: StepContext) => {
        const { server, machineId, generation } = installOf(context.operation);
        return claim(services, { server, machineId, generation, state: 'moving' });
      },
    },
    {
      name: 'retire',
      deadlineMs: PEOPLE_DEADLINE_MS,
      run: (context: StepContext) => retire(services, context),
    },
    ...installSteps(services, [
      {
        name: 'await-retired',
        deadlineMs: PEOPLE_DEADLINE_MS,
        run: (context: StepContext) => awaitRetired(services, context),
      },
    ]),
  ];
  return {
    kind: 'move',
    steps: () => steps,
    async undo(operation) {
      const { generation } = recall<MoveMemory>(operation);
      const { server, machineId } = operation;
      if (generation === undefined || server === undefined || machineId === undefined) return;
      await unclaim(services, { server, machineId, generation, state: 'failed' });
    },
  };
}

async function check(services: OperationServices, context: StepContext): Promise<void> {
  const { operation } = context;
  const server = await services.servers.get(operation.server ?? '');
  const machine = await machineOf(services, operation.machineId ?? '');
  const image = await checkMove(services, server, machine.id);
  await context.remember({
    image,
    generation: server.generation + 1,
    ...(server.machineId === undefined ? {} : { oldMachineId: server.machineId }),
  });
}

/** Can this server move to this machine? MACHINE_HELD, CONFLICT, MASTER_UNBOOTABLE, DISK_UNSUITABLE. */
export async function checkMove(
  { catalogue, repository }: Pick<OperationServices, 'catalogue' | 'repository'>,
  server: Server,
  machineId: string,
) {
  if (server.machineId === machineId) {
    throw new OverdubError(
      'CONFLICT',
      `${server.name} is on that machine already.`,
      `Name another machine; to go back in time use overdub rollback ${server.name}.`,
    );
  }
  const snapshot = await latestSnapshot(repository, server.name);
  if (snapshot === undefined) {
    throw new OverdubError(
      'CONFLICT',
      `${server.name} has no snapshot that could be moved.`,
      `Take one (overdub snapshot take ${server.name}), or start afresh: release the server and assign it again.`,
    );
  }
  const image = snapshotImage(snapshot);
  const kernel = await assertBootable(repository, image);
  const machine = await catalogue.machines.get(machineId);
  if (machine !== undefined) {
    await assertAssignable(catalogue, machine, server.name);
    assertDiskFits(machine, image.manifest);
    await assertDriven(repository, image, kernel, machine);
  }
  return image;
}

/** A living server stops here: what it would still take in were lost. A dead one costs no time. */
async function retire(services: OperationServices, context: StepContext): Promise<void> {
  const old = oldServer(context);
  if (old === undefined || services.agents.present(old) === undefined) return;
  await orderReboot(services, context, old, 'ramdisk', RETIRE_ABSENCE_MS);
}

/** One server never runs twice: while the old machine still runs it, the new one does not boot. */
async function awaitRetired(services: OperationServices, context: StepContext): Promise<void> {
  const { agents, clock } = services;
  const old = oldServer(context);
  if (old === undefined || agents.present(old) === undefined) return;
  await orderReboot(services, context, old, 'ramdisk');
  const machine = await services.catalogue.machines.get(old.machineId);
  for (let waited = 0; agents.present(old) !== undefined; waited += 1000) {
    if (waited === RETIRE_PATIENCE_MS) {
      await context.attention(
        `Switch off machine ${machine?.name ?? old.machineId}: it still runs ${context.operation.server}.`,
      );
    }
    await clock.sleep(1000, context.signal);
  }
  if (context.operation.attention !== undefined) await context.attention();
}

/** The agent of the server where it ran until now. */
function oldServer(context: StepContext) {
  const { oldMachineId } = recall<MoveMemory>(context.operation);
  return oldMachineId === undefined ? undefined : ({ machineId: oldMachineId, where: 'server' } as const);
}

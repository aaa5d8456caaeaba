/** What provision and move share: write the image, boot it, see it run. */

import type { Operation } from '../domain/operation.ts';
import { HOUR_MS, recall, type StepContext, type StepDefinition } from './definition.ts';
import { disksWithoutDriver } from './drivers.ts';
import { assertBootable, type InstallImage, neededDiskBytes } from './images.ts';
import {
  awaitServer,
  bootLocal,
  enterRamdisk,
  machineOf,
  TASK_ABSENCE_MS,
  taskServer,
} from './machine-steps.ts';
import type { OperationServices } from './services.ts';

/** What the check leaves for the steps after it. */
export interface InstallMemory {
  readonly image: InstallImage;
  readonly generation: number;
  readonly bytesReceived: number;
  readonly writtenBytes: number;
  readonly diskPin: string;
}

/** Somebody may have to walk to the machine. */
export const PEOPLE_DEADLINE_MS = 7 * 24 * HOUR_MS;

/** Server, machine, image and generation of an install; what lacks is a defect. */
export function installOf(operation: Operation) {
  const { image, generation } = recall<InstallMemory>(operation);
  const { server, machineId } = operation;
  if (server === undefined || machineId === undefined) throw new Error(`${operation.id} lacks its subject`);
  if (image === undefined || generation === undefined) throw new Error(`${operation.id} lost its memory`);
  return { server, machineId, image, generation };
}

export function enterRamdiskStep(services: OperationServices): StepDefinition {
  return {
    name: 'enter-ramdisk',
    deadlineMs: PEOPLE_DEADLINE_MS,
    async run(context) {
      const { machineId } = installOf(context.operation);
      await enterRamdisk(services, context, await machineOf(services, machineId));
    },
  };
}

/** install, what must be so before the server starts there, boot-local, await-server, finish. */
export function installSteps(
  services: OperationServices,
  beforeBoot: readonly StepDefinition[] = [],
): StepDefinition[] {
  return [
    {
      name: 'install',
      deadlineMs: 24 * HOUR_MS,
      destructive: true,
      run: (context) => install(services, context),
    },
    ...beforeBoot,
    {
      name: 'boot-local',
      deadlineMs: HOUR_MS,
      run: (context) => bootLocal(services, context, installOf(context.operation).machineId),
    },
    {
      name: 'await-server',
      deadlineMs: PEOPLE_DEADLINE_MS,
      run: (context) => {
        const { server, machineId, generation } = installOf(context.operation);
        return awaitServer(services, context, server, machineId, generation);
      },
    },
    { name: 'finish', deadlineMs: HOUR_MS, run: (context) => finish(services, context) },
  ];
}

async function install(services: OperationServices, context: StepContext): Promise<void> {
  const { operation } = context;
  const { server: name, machineId, image, generation } = installOf(operation);
  // Also after the agent was lost: it comes back by itself, or somebody brings it back.
  await enterRamdisk(services, context, await machineOf(services, machineId));
  // As the ramdisk that runs now reported it.
  const machine = await machineOf(services, machineId);
  const server = await services.servers.get(name);
  const pin = machine.diskPin;
  const stillThere = machine.facts?.disks.some(
    ({ serial, wwn }) => pin !== undefined && (serial === pin || wwn === pin),
  );
  const { repository } = services;
  const kernel = await assertBootable(repository, image);
  const avoidDisks = await disksWithoutDriver(repository, image, kernel, machine);
  const result = await services.agents.run(
    { machineId, where: 'ramdisk' },
    {
      kind: 'install',
      id: `${operation.id}/install`,
      operation: operation.id,
      server: taskServer(server, generation),
      image: image.manifest,
      neededBytes: neededDiskBytes(image.manifest),
      ...(pin !== undefined && stillThere ? { diskPin: pin } : {}),
      ...(avoidDisks.length === 0 ? {} : { avoidDisks }),
      fresh: image.fresh,
      credential: await services.credentials.issue({ server: name, generation, operation: operation.id }),
    },
    { signal: context.signal, onProgress: context.progress, absenceMs: TASK_ABSENCE_MS },
  );
  await context.remember({
    diskPin: result.diskPin,
    writtenBytes: result.writtenBytes,
    bytesReceived: result.bytesReceived,
  });
}

async function finish(services: OperationServices, context: StepContext): Promise<void> {
  const { operation } = context;
  const { server, machineId, image, generation } = installOf(operation);
  const { diskPin, writtenBytes, bytesReceived } = recall<InstallMemory>(operation);
  await services.catalogue.machines.update(machineId, (machine) =>
    diskPin === undefined ? machine : { ...machine, diskPin },
  );
  await services.catalogue.credentials.keepOnly({ server, generation, operation: operation.id });
  await context.remember({
    result: {
      server,
      machine: machineId,
      image: image.label,
      diskPin,
      writtenBytes,
      bytesReceived,
      generation,
    },
  });
  await services.servers.update(server, (record) => ({ ...record, state: 'running' }));
}

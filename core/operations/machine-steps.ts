/** What several operations do with a machine: bring it into the ramdisk, boot its disk, wait for its server. */

import type { AgentTarget, AgentTasks } from '../contracts/agent-tasks.ts';
import type { Machine } from '../domain/machine.ts';
import type { TaskServer } from '../domain/protocol.ts';
import type { Server } from '../domain/server.ts';
import { OverdubError } from '../errors.ts';
import { recall, type StepContext } from './definition.ts';
import { ramdiskBoot } from './ramdisk-boot.ts';
import type { OperationServices } from './services.ts';

/** How long an agent may be silent in mid-task before AGENT_LOST: a network that flaps, an appliance that restarts. */
export const TASK_ABSENCE_MS = 120_000;
/** A reboot order is carried out at once or not at all. */
const REBOOT_ABSENCE_MS = 30_000;
/** A machine that was told to reboot gets this long before somebody is asked to look. */
const REBOOT_PATIENCE_MS = 240_000;
const BOOT_PATIENCE_MS = 600_000;

interface BootMemory {
  /** The machine whose power this operation has switched: once, however often its step is taken up again. */
  readonly poweredMachine?: string;
  /** Boot of the server that was left for the ramdisk; its session must not pass for the new one. */
  readonly leftBootId: string;
}

export function taskServer(server: Server, generation: number = server.generation): TaskServer {
  return {
    name: server.name,
    generation,
    identity: server.identity,
    imager: server.drivers.imager,
    excludes: server.excludes,
    ...(server.bandwidth === undefined ? {} : { bandwidth: server.bandwidth }),
    ...(server.compression === undefined ? {} : { compression: server.compression }),
    ...(server.master === undefined ? {} : { master: server.master }),
  };
}

/** NOT_FOUND when it has been forgotten meanwhile. */
export async function machineOf(services: OperationServices, machineId: string): Promise<Machine> {
  const machine = await services.catalogue.machines.get(machineId);
  if (machine !== undefined) return machine;
  throw new OverdubError(
    'NOT_FOUND',
    `There is no machine ${machineId}.`,
    'List them: overdub machine list.',
  );
}

/**
 * Returns once the machine's agent is in the ramdisk. Orders the server that runs there to go, if one answers; else
 * has its power cycled, where it has a driver; else waits and names the machine to power-cycle. From its start on the machine's boot plan is the ramdisk.
 */
export async function enterRamdisk(
  services: OperationServices,
  context: StepContext,
  machine: Machine,
): Promise<void> {
  const { agents } = services;
  const ramdisk = { machineId: machine.id, where: 'ramdisk' } as const;
  const running = { machineId: machine.id, where: 'server' } as const;
  await context.remember({ bootMachine: machine.id, boot: 'ramdisk' });
  if (isInRamdisk(agents, machine.id)) return;
  const present = agents.present(running);
  if (present !== undefined) {
    await context.remember({ leftBootId: present.bootId });
    await orderReboot(services, context, running, 'ramdisk');
  }
  await patiently(
    services,
    context,
    present === undefined ? 0 : REBOOT_PATIENCE_MS,
    `Power-cycle machine ${machine.name}: it has to boot from the network, and no agent on it answers.`,
    (signal) => agents.waitFor(ramdisk, signal),
    () => powerIntoNetwork(services, context, machine),
  );
}

/** Switches the machine by its power driver, once an operation. False when that cannot be done. */
async function powerIntoNetwork(
  { power }: OperationServices,
  context: StepContext,
  machine: Machine,
): Promise<boolean> {
  if (recall<BootMemory>(context.operation).poweredMachine === machine.id) return true;
  const switched = await power.bootFromNetwork(machine, context.signal);
  if (switched) await context.remember({ poweredMachine: machine.id });
  return switched;
}

/** A session outlives its machine's boot by a while: the one that began last tells where the machine is. */
export function isInRamdisk(agents: AgentTasks, machineId: string): boolean {
  const ramdisk = agents.present({ machineId, where: 'ramdisk' });
  const server = agents.present({ machineId, where: 'server' });
  return ramdisk !== undefined && (server === undefined || ramdisk.since >= server.since);
}

/** Sends the machine from the ramdisk to its disk; its boot plan is the disk from the start of this on. */
export async function bootLocal(
  services: OperationServices,
  context: StepContext,
  machineId: string,
): Promise<void> {
  await context.remember({ bootMachine: machineId, boot: 'local' });
  const ramdisk = { machineId, where: 'ramdisk' } as const;
  // Gone already: the order was obeyed before a restart of the appliance, or somebody pressed the button.
  if (!isInRamdisk(services.agents, machineId)) return;
  await orderReboot(services, context, ramdisk, 'local');
}

/** Waits until the server's agent reports from its own disk in this generation and a new boot. */
export async function awaitServer(
  services: OperationServices,
  context: StepContext,
  server: string,
  machineId: string,
  generation: number,
): Promise<void> {
  const machine = await machineOf(services, machineId);
  const { leftBootId } = recall<BootMemory>(context.operation);
  await patiently(
    services,
    context,
    BOOT_PATIENCE_MS,
    `Look at machine ${machine.name}: it was told to boot ${server} from its disk and has not reported. ` +
      'Power-cycle it if it hangs.',
    (signal) =>
      services.agents.waitFor(
        {
          server,
          where: 'server',
          generation,
          ...(leftBootId === undefined ? {} : { notBootId: leftBootId }),
        },
        signal,
      ),
  );
}

/** A machine that vanishes on a reboot order, or is silent for `absenceMs`, has obeyed it or never will. */
export async function orderReboot(
  services: OperationServices,
  context: StepContext,
  target: AgentTarget & { readonly machineId: string },
  to: 'ramdisk' | 'local',
  absenceMs: number = REBOOT_ABSENCE_MS,
): Promise<void> {
  const { agents, log } = services;
  const { id } = context.operation;
  const ramdisk = to === 'ramdisk' ? await ramdiskBoot(services, target.machineId) : undefined;
  try {
    const { by, reason } = await agents.run(
      target,
      {
        kind: 'reboot',
        id: `${id}/${target.machineId}/reboot-${to}`,
        operation: id,
        to,
        ...(ramdisk === undefined ? {} : { ramdisk }),
      },
      { signal: context.signal, onProgress: context.progress, absenceMs },
    );
    log.info({ operation: id, to, by, reason }, 'the machine reboots');
  } catch (error) {
    context.signal.throwIfAborted();
    log.warn({ operation: id, to, error: String(error) }, 'no answer to a reboot order; going on');
  }
}

/**
 * Waits for `wanted`. After `patienceMs` it tries `rescue`, if there is one, and waits anew; then it asks for help, and
 * takes the plea back when what was wanted has come.
 */
async function patiently<T>(
  { clock }: OperationServices,
  context: StepContext,
  patienceMs: number,
  plea: string,
  wanted: (signal: AbortSignal) => Promise<T>,
  rescue: () => Promise<boolean> = async () => false,
): Promise<T> {
  const arrived = new AbortController();
  const over = AbortSignal.any([arrived.signal, context.signal]);
  const passes = (ms: number): Promise<boolean> =>
    clock.sleep(ms, over).then(
      () => !over.aborted,
      () => false,
    );
  const ask = async (): Promise<void> => {
    if (!(await passes(patienceMs))) return;
    if ((await rescue()) && !(await passes(REBOOT_PATIENCE_MS))) return;
    if (!over.aborted) await context.attention(plea);
  };
  const asking = ask();
  // Met below where the wait succeeds; where it fails, that failure is told.
  asking.catch(() => undefined);
  try {
    const found = await wanted(context.signal);
    arrived.abort();
    // A plea that is being written is written first, else it would stay.
    await asking;
    if (context.operation.attention !== undefined) await context.attention();
    return found;
  } finally {
    arrived.abort();
  }
}

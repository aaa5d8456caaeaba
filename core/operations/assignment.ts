/** Which machine a server runs on. Each assignment has a generation; one server never runs twice. */

import type { Catalogue } from '../catalogue/catalogue.ts';
import { type Machine, STALE_REASON } from '../domain/machine.ts';
import type { Server, ServerState } from '../domain/server.ts';
import { OverdubError } from '../errors.ts';
import type { OperationServices } from './services.ts';

/** Does the machine carry what it was assigned, and not an assignment that has passed on? */
export function isCurrent(machine: Machine, server: Server | undefined): server is Server {
  return (
    server !== undefined &&
    machine.serverName === server.name &&
    server.machineId === machine.id &&
    server.generation === machine.generation
  );
}

/** The server whose assignment passed on to another machine while this one was away. */
export function isStale(machine: Machine, server: Server | undefined): boolean {
  return (
    machine.serverName !== undefined &&
    server?.name === machine.serverName &&
    server.generation > (machine.generation ?? 0)
  );
}

/** MACHINE_HELD unless accepted; CONFLICT when it carries another server. */
export async function assertAssignable(
  catalogue: Catalogue,
  machine: Machine,
  serverName: string,
): Promise<void> {
  assertAccepted(machine);
  if (machine.serverName === undefined || machine.serverName === serverName) return;
  const carried = await catalogue.servers.get(machine.serverName);
  if (carried === undefined || isStale(machine, carried)) return;
  throw taken(machine);
}

/**
 * Gives the machine to the server in a new generation. Idempotent; the machine's record is written first, in one
 * transaction, so that of two servers that want one machine one gets it and the other CONFLICT.
 */
export async function claim(
  { catalogue, servers }: OperationServices,
  wanted: { machineId: string; server: string; generation: number; state: ServerState },
): Promise<void> {
  const seen = await catalogue.machines.get(wanted.machineId);
  if (seen !== undefined) await assertAssignable(catalogue, seen, wanted.server);
  await catalogue.machines.update(wanted.machineId, (machine) => {
    assertAccepted(machine);
    if (machine.serverName !== seen?.serverName && machine.serverName !== wanted.server) throw taken(machine);
    const { admissionReason, ...rest } = machine;
    const outdated = admissionReason?.startsWith(STALE_REASON) ?? true;
    return {
      ...rest,
      ...(outdated ? {} : { admissionReason: admissionReason as string }),
      serverName: wanted.server,
      generation: wanted.generation,
    };
  });
  await servers.update(wanted.server, (server) => ({
    ...server,
    machineId: wanted.machineId,
    generation: wanted.generation,
    state: wanted.state,
  }));
}

/** Takes a claim back where it still stands; the generation is spent. Idempotent. */
export async function unclaim(
  services: OperationServices,
  claimed: { machineId: string; server: string; generation: number; state: ServerState },
): Promise<void> {
  await services.servers.update(claimed.server, (server) => {
    if (server.generation !== claimed.generation || server.machineId !== claimed.machineId) return server;
    const { machineId: _released, ...rest } = server;
    return { ...rest, state: claimed.state };
  });
  await releaseMachine(services, claimed.machineId, claimed.server, claimed.generation);
}

/** Clears the machine's side of an assignment. Nothing happens when it carries something else, or is forgotten. */
export async function releaseMachine(
  { catalogue }: Pick<OperationServices, 'catalogue'>,
  machineId: string,
  server: string,
  generation: number,
): Promise<void> {
  if ((await catalogue.machines.get(machineId)) === undefined) return;
  await catalogue.machines.update(machineId, (machine) => {
    if (machine.serverName !== server || machine.generation !== generation) return machine;
    const { serverName: _server, generation: _generation, ...rest } = machine;
    return rest;
  });
}

function assertAccepted(machine: Machine): void {
  if (machine.admission === 'accepted') return;
  const why = machine.admissionReason === undefined ? '' : ` (${machine.admissionReason})`;
  throw new OverdubError(
    'MACHINE_HELD',
    `${machine.name} is ${machine.admission}${why} and may not be given a role.`,
    `Accept it first: overdub machine accept ${machine.name}.`,
  );
}

function taken(machine: Machine): OverdubError {
  return new OverdubError(
    'CONFLICT',
    `${machine.name} carries ${machine.serverName} already.`,
    `Choose another machine, or release that server first: overdub server release ${machine.serverName}.`,
  );
}

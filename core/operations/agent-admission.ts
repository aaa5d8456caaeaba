/** How agents come in: by boot nonce, by an installed agent's credential, by an API token. */

import type { TokenInfo } from '../contracts/control.ts';
import type { AgentIdentity } from '../contracts/gateway.ts';
import { type Machine, type MachineFacts, normalizeMac, STALE_REASON } from '../domain/machine.ts';
import { withKnownNeighbours } from '../domain/machine-facts.ts';
import type { Hello, Welcome } from '../domain/protocol.ts';
import type { Server } from '../domain/server.ts';
import { OverdubError } from '../errors.ts';
import type { Sighting } from '../hooks/hooks.ts';
import { isCurrent, isStale } from './assignment.ts';
import type { Engine } from './engine.ts';
import type { OperationServices } from './services.ts';

/** An identity, and what its agent is told. */
export type Admitted = { identity: AgentIdentity; welcome: Omit<Welcome, 'session' | 'now'> };

export interface AgentPolicyDeps extends OperationServices {
  readonly engine: Engine;
  /** Takes note of a machine that says what it is; `claimed` is whose nonce it came with. */
  seeMachine(sighting: Sighting, claimed: Machine): Promise<Machine>;
}

/** Exchanges a boot nonce. UNAUTHORIZED; a machine other than the nonce's is held. */
export async function admitRamdisk(deps: AgentPolicyDeps, hello: Hello, nonce: string): Promise<Admitted> {
  const { catalogue, clock, log } = deps;
  const machineId = await catalogue.nonces.exchange(nonce, hello.bootId, clock.now());
  const claimed = machineId === undefined ? undefined : await catalogue.machines.get(machineId);
  if (claimed === undefined) {
    throw unauthorized(
      'The boot nonce is unknown, too old, or was used by another boot.',
      'Boot the machine from the network again: each boot gets a nonce of its own.',
    );
  }
  if (hello.facts === undefined) return noteStale(deps, claimed);
  const machine = await deps.seeMachine(sightingOf(hello.facts, claimed), claimed);
  if (machine.id !== claimed.id) {
    log.warn({ claimed: claimed.name, is: machine.name }, 'an agent came with the nonce of another machine');
    return held({ machineId: machine.id, standing: 'held', by: `agent on ${machine.name}` }, machine);
  }
  return noteStale(deps, machine);
}

/** A machine risen from the dead is told of, and says on its record why it is held. */
async function noteStale(deps: AgentPolicyDeps, machine: Machine): Promise<Admitted> {
  const { catalogue, servers, events } = deps;
  const name = machine.serverName ?? '';
  if (isStale(machine, await catalogue.servers.get(name))) {
    const { generation } = await servers.get(name);
    const reason = `${STALE_REASON} it carries assignment ${machine.generation} of ${name}, which is at ${generation} now`;
    await catalogue.machines.update(machine.id, (record) => ({ ...record, admissionReason: reason }));
    events.emit('machine.held', { machine: machine.id, server: name }, `${machine.name} is ${reason}`);
  }
  return ramdiskStanding(deps, machine);
}

/** The interface it booted from, as far as it is one that the record knows. */
function sightingOf(facts: MachineFacts, claimed: Machine): Sighting {
  const macs = facts.nics.flatMap((nic) => normalizeMac(nic.mac) ?? []);
  const mac = macs.find((each) => claimed.macs.includes(each)) ?? macs[0];
  if (mac === undefined) {
    throw new OverdubError(
      'INPUT_INVALID',
      'The agent reports no network interface, yet it came by one.',
      'Check that the ramdisk has the driver of the network card.',
    );
  }
  return { mac, ...(facts.uuid === undefined ? {} : { uuid: facts.uuid }), facts, via: 'agent' };
}

/** What a machine in the ramdisk may do, by its record as it is now. */
export async function ramdiskStanding({ catalogue }: AgentPolicyDeps, machine: Machine): Promise<Admitted> {
  const by = `agent on ${machine.name}`;
  const server =
    machine.serverName === undefined ? undefined : await catalogue.servers.get(machine.serverName);
  if (machine.admission !== 'accepted' || isStale(machine, server)) {
    return held({ machineId: machine.id, standing: 'held', by }, machine);
  }
  const assigned = isCurrent(machine, server) ? server : undefined;
  const standing = assigned === undefined ? 'waiting' : 'assigned';
  return {
    identity: { machineId: machine.id, standing, by },
    welcome: {
      machineId: machine.id,
      machineName: machine.name,
      standing,
      ...(assigned === undefined ? {} : { server: assigned.name }),
    },
  };
}

/** An installed agent's credential: its server in its generation, on its machine; else it is held. */
export async function admitInstalled(
  { catalogue, clock, events, log }: AgentPolicyDeps,
  hello: Hello,
  credential: { server: string; generation: number },
): Promise<Admitted> {
  const { server: name, generation } = credential;
  const server = await catalogue.servers.get(name);
  const carriers = await catalogue.machines.list();
  const machine = carriers.find((each) => each.serverName === name && each.generation === generation);
  const by = `agent of ${name}`;
  const identity: AgentIdentity = {
    ...(machine === undefined ? {} : { machineId: machine.id }),
    generation,
    standing: 'held',
    by,
  };
  if (server === undefined || server.generation !== generation || machine === undefined) {
    const text = `${machine?.name ?? 'a machine'} came up with an assignment of ${name} that has passed on; it is held`;
    events.emit('machine.held', { server: name, ...(machine && { machine: machine.id }) }, text, {
      generation,
    });
    return held(identity, machine);
  }
  if (hello.facts !== undefined && !sameHardware(hello.facts, machine)) {
    const text = `${name} reports from hardware that is not ${machine.name}: its disk was moved or copied; it is held`;
    log.warn({ server: name, machine: machine.name }, text);
    events.emit('machine.held', { server: name, machine: machine.id }, text);
    const { machineId: _notThis, ...elsewhere } = identity;
    return held(elsewhere);
  }
  await catalogue.machines.update(machine.id, (record) => ({
    ...record,
    ...(hello.facts === undefined ? {} : { facts: withKnownNeighbours(hello.facts, record.facts) }),
    lastSeenAt: new Date(clock.now()).toISOString(),
  }));
  return serverStanding(server, { ...identity, server: name, standing: 'assigned' }, machine);
}

/** The directory door: an operator's token, or one that is limited to this server. */
export async function admitToken(
  { servers }: AgentPolicyDeps,
  hello: Hello,
  token: TokenInfo,
): Promise<Admitted> {
  if (token.role === 'viewer') {
    throw unauthorized(
      `The token ${token.name} is a viewer's and may not act for a server.`,
      'Use an operator token: overdub token create --role operator.',
    );
  }
  const name = hello.server ?? token.server;
  if (name === undefined) {
    throw new OverdubError(
      'INPUT_INVALID',
      'The agent does not say for which server it works.',
      'Name it with --server.',
    );
  }
  if (token.server !== undefined && token.server !== name) {
    throw unauthorized(
      `The token ${token.name} is limited to ${token.server} and may not act for ${name}.`,
      'Use a token of that server, or an operator token without limit.',
    );
  }
  if (hello.where !== 'server') {
    throw unauthorized('A ramdisk comes with a boot nonce, not with a token.', 'Boot it from the network.');
  }
  const server = await servers.get(name);
  return serverStanding(server, {
    server: name,
    generation: server.generation,
    standing: 'assigned',
    by: token.name,
  });
}

/** What an agent that speaks for a server is told. */
export function serverStanding(server: Server, identity: AgentIdentity, machine?: Machine): Admitted {
  return {
    identity,
    welcome: {
      ...(identity.machineId === undefined ? {} : { machineId: identity.machineId }),
      ...(machine === undefined ? {} : { machineName: machine.name }),
      standing: identity.standing,
      server: server.name,
      ...(server.schedule === undefined ? {} : { schedule: server.schedule }),
    },
  };
}

/** A held agent speaks for no server. */
export function held({ server: _none, ...identity }: AgentIdentity, machine?: Machine): Admitted {
  return {
    identity: { ...identity, standing: 'held' },
    welcome: {
      ...(identity.machineId === undefined ? {} : { machineId: identity.machineId }),
      ...(machine === undefined ? {} : { machineName: machine.name }),
      standing: 'held',
    },
  };
}

function sameHardware(facts: MachineFacts, machine: Machine): boolean {
  return facts.nics.some((nic) => machine.macs.includes(normalizeMac(nic.mac) ?? ''));
}

export function unauthorized(message: string, remedy: string): OverdubError {
  return new OverdubError('UNAUTHORIZED', message, remedy);
}

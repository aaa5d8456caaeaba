/** Which agent speaks for whom, and what it may have: asked by the gateway. */

import type { TokenInfo } from '../contracts/control.ts';
import type { AgentIdentity, AgentPolicy } from '../contracts/gateway.ts';
import { type Machine, type MachineFacts, normalizeMac } from '../domain/machine.ts';
import type { Hello, Welcome } from '../domain/protocol.ts';
import { resolveSelector } from '../domain/selectors.ts';
import type { Server } from '../domain/server.ts';
import { OverdubError } from '../errors.ts';
import type { Sighting } from '../hooks/hooks.ts';
import { isCurrent, isStale, STALE_REASON } from './assignment.ts';
import type { Engine } from './engine.ts';
import { newId } from './ids.ts';
import { taskServer } from './machine-steps.ts';
import { applyRetention } from './retention.ts';
import type { OperationServices } from './services.ts';
import { snapshotSummary } from './snapshot.ts';

type Admitted = { identity: AgentIdentity; welcome: Omit<Welcome, 'session' | 'now'> };

export interface AgentPolicyDeps extends OperationServices {
  readonly engine: Engine;
  /** Takes note of a machine that says what it is; `claimed` is whose nonce it came with. */
  seeMachine(sighting: Sighting, claimed: Machine): Promise<Machine>;
}

export function agentPolicy(deps: AgentPolicyDeps): AgentPolicy {
  const { catalogue, repository, servers, engine, events, clock, log } = deps;
  return {
    async admit(hello) {
      if (hello.nonce !== undefined) return admitRamdisk(deps, hello, hello.nonce);
      const secret = hello.credential ?? '';
      const credential = await catalogue.credentials.bySecret(secret);
      if (credential !== undefined) return admitInstalled(deps, hello, credential);
      const token = await catalogue.tokens.bySecret(secret);
      if (token !== undefined) return admitToken(deps, hello, token);
      throw unauthorized(
        'The credential of this agent is not known here.',
        'Create a token (overdub token create), or assign the server again if its appliance was rebuilt.',
      );
    },

    async readmit(identity, hello) {
      if (hello.where === 'ramdisk') {
        const machine = await catalogue.machines.get(identity.machineId ?? '');
        if (machine === undefined) {
          throw unauthorized('This machine has been forgotten.', 'Boot it again to have it recorded anew.');
        }
        return ramdiskStanding(deps, machine);
      }
      if (identity.server === undefined || identity.standing === 'held') {
        return { identity, welcome: { standing: identity.standing } };
      }
      const server = await servers.get(identity.server);
      return server.generation === identity.generation
        ? serverStanding(server, identity)
        : held({ ...identity });
    },

    async beginSnapshot(identity, { server: name, reason }) {
      assertOwn(identity, name);
      const server = await servers.get(name);
      const operation = await engine.begin(
        {
          kind: 'snapshot',
          server: name,
          ...(server.machineId === undefined ? {} : { machineId: server.machineId }),
          parameters: { reason },
          requestedBy: identity.by,
        },
        'snapshot',
      );
      return {
        kind: 'snapshot',
        id: `${operation.id}/snapshot`,
        operation: operation.id,
        server: taskServer(server),
        reason,
        trust: reason === 'safety' ? 'nothing' : 'stat',
        suspect: reason === 'safety',
      };
    },

    async endSnapshot(task, outcome) {
      await engine.end(
        task.operation,
        'snapshot' in outcome ? { result: snapshotSummary(outcome.snapshot) } : { error: outcome.error },
      );
    },

    async beginRestore(identity, { server: name, selector, dryRun, keep, only }) {
      assertOwn(identity, name);
      const server = await servers.get(name);
      const snapshot = resolveSelector(await repository.listSnapshots(name), selector, { now: clock.now() });
      const operation = newId('restore', clock.now());
      log.info(
        { server: name, snapshot: snapshot.id, by: identity.by, dryRun },
        'image given to a directory',
      );
      return {
        kind: 'restore',
        id: `${operation}/restore`,
        operation,
        server: taskServer(server),
        image: snapshot.manifest,
        dryRun,
        keep,
        only,
        credential: '',
      };
    },

    async snapshotCommitted(snapshot) {
      const { server: name, id, suspect } = snapshot;
      const text = `snapshot ${name}@${id} was committed${suspect ? ' as evidence' : ''}`;
      events.emit('snapshot.committed', { server: name }, text, { ...snapshotSummary(snapshot), suspect });
      try {
        await applyRetention(deps, name);
      } catch (error) {
        // The snapshot exists; what should have gone goes with the daily run.
        log.error({ server: name, error: String(error) }, 'retention failed after a snapshot');
      }
    },

    async mayRead(identity, image) {
      const name = await readableServer(deps, identity);
      if (name === undefined) return false;
      const server = await catalogue.servers.get(name);
      if (server === undefined) return false;
      if (server.master !== undefined) {
        const { name: master, version } = server.master;
        const own = (await repository.listMasters()).find(
          (each) => each.name === master && each.version === version,
        );
        if (own?.manifest.root === image.root) return true;
      }
      const snapshots = await repository.listSnapshots(name);
      return snapshots.some((snapshot) => snapshot.manifest.root === image.root);
    },
  };
}

async function admitRamdisk(deps: AgentPolicyDeps, hello: Hello, nonce: string): Promise<Admitted> {
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

async function ramdiskStanding({ catalogue }: AgentPolicyDeps, machine: Machine): Promise<Admitted> {
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

async function admitInstalled(
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
    ...(hello.facts === undefined ? {} : { facts: hello.facts }),
    lastSeenAt: new Date(clock.now()).toISOString(),
  }));
  return serverStanding(server, { ...identity, server: name, standing: 'assigned' }, machine);
}

/** The directory door: an operator's token, or one that is limited to this server. */
async function admitToken({ servers }: AgentPolicyDeps, hello: Hello, token: TokenInfo): Promise<Admitted> {
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

function serverStanding(server: Server, identity: AgentIdentity, machine?: Machine): Admitted {
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
function held({ server: _none, ...identity }: AgentIdentity, machine?: Machine): Admitted {
  return {
    identity: { ...identity, standing: 'held' },
    welcome: {
      ...(identity.machineId === undefined ? {} : { machineId: identity.machineId }),
      ...(machine === undefined ? {} : { machineName: machine.name }),
      standing: 'held',
    },
  };
}

/** In the ramdisk it is the machine's present assignment that counts, as it is now. */
async function readableServer(
  { catalogue }: AgentPolicyDeps,
  identity: AgentIdentity,
): Promise<string | undefined> {
  if (identity.standing === 'held') return undefined;
  if (identity.server !== undefined) {
    const server = await catalogue.servers.get(identity.server);
    return server?.generation === identity.generation ? identity.server : undefined;
  }
  const machine = await catalogue.machines.get(identity.machineId ?? '');
  if (machine?.admission !== 'accepted' || machine.serverName === undefined) return undefined;
  return isCurrent(machine, await catalogue.servers.get(machine.serverName)) ? machine.serverName : undefined;
}

function sameHardware(facts: MachineFacts, machine: Machine): boolean {
  return facts.nics.some((nic) => machine.macs.includes(normalizeMac(nic.mac) ?? ''));
}

function assertOwn(identity: AgentIdentity, server: string): void {
  if (identity.standing !== 'held' && identity.server === server) return;
  throw unauthorized(
    `The ${identity.by} may not act for ${server}.`,
    'Use a credential of that server, or an operator token.',
  );
}

function unauthorized(message: string, remedy: string): OverdubError {
  return new OverdubError('UNAUTHORIZED', message, remedy);
}

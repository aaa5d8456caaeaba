/** Which agent speaks for whom, and what it may have: asked by the gateway. */

import type { AgentIdentity, AgentPolicy } from '../contracts/gateway.ts';
import { resolveSelector } from '../domain/selectors.ts';
import {
  type AgentPolicyDeps,
  admitInstalled,
  admitRamdisk,
  admitToken,
  held,
  ramdiskStanding,
  serverStanding,
  unauthorized,
} from './agent-admission.ts';
import { isCurrent } from './assignment.ts';
import { newId } from './ids.ts';
import { knownImage } from './images.ts';
import { taskServer } from './machine-steps.ts';
import { forgetWanted, isWanted } from './repair-wishes.ts';
import { applyRetention } from './retention.ts';
import { snapshotSummary } from './snapshot.ts';

/** The policy over records and operations. */
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
      const everything = await isWanted(catalogue, name);
      const known = reason === 'safety' ? await knownImage(repository, server) : undefined;
      return {
        kind: 'snapshot',
        id: `${operation.id}/snapshot`,
        operation: operation.id,
        server: taskServer(server),
        reason,
        trust: reason === 'safety' ? 'nothing' : 'stat',
        suspect: reason === 'safety',
        ...(everything ? { everything: true as const } : {}),
        ...(known === undefined ? {} : { known }),
      };
    },

    async endSnapshot(task, outcome) {
      if ('snapshot' in outcome && task.everything === true) await forgetWanted(catalogue, task.server.name);
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

function assertOwn(identity: AgentIdentity, server: string): void {
  if (identity.standing !== 'held' && identity.server === server) return;
  throw unauthorized(
    `The ${identity.by} may not act for ${server}.`,
    'Use a credential of that server, or an operator token.',
  );
}

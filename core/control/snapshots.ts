/** Snapshots and rollbacks, as administrators ask for them. */

import type { ApplianceControl } from '../contracts/control.ts';
import { assertEntryPath } from '../domain/path.ts';
import { resolveSelector } from '../domain/selectors.ts';
import type { Snapshot } from '../domain/snapshot.ts';
import { OverdubError } from '../errors.ts';
import { assignedMachine, type RollbackParameters } from '../operations/rollback.ts';
import type { ControlDeps } from './deps.ts';

type SnapshotControl = Pick<
  ApplianceControl,
  'takeSnapshot' | 'listSnapshots' | 'resolveSnapshot' | 'pinSnapshot' | 'removeSnapshot' | 'rollback'
>;

export function snapshotControl(deps: ControlDeps): SnapshotControl {
  const { repository, servers, engine, events } = deps;
  const resolve = (server: string, selector: string, strictlyBefore = false) =>
    findSnapshot(deps, server, selector, strictlyBefore);
  return {
    async takeSnapshot(name, by) {
      const server = await servers.get(name);
      if (deps.agents.present({ server: name, where: 'server' }) === undefined) {
        throw new OverdubError(
          'AGENT_LOST',
          `No agent of ${name} is connected, so nobody can take a snapshot of it.`,
          server.state === 'enrolled'
            ? `Run overdub agent snapshot --root DIR --server ${name} there, or install the agent: overdub agent install.`
            : `Look whether its machine is on and reaches the appliance: overdub server show ${name}.`,
        );
      }
      return engine.submit({
        kind: 'snapshot',
        server: name,
        ...(server.machineId === undefined ? {} : { machineId: server.machineId }),
        parameters: { reason: 'manual' },
        requestedBy: by,
      });
    },
    async listSnapshots(name) {
      await servers.get(name);
      return repository.listSnapshots(name);
    },
    resolveSnapshot: (name, selector, options) => resolve(name, selector, options?.strictlyBefore),
    async pinSnapshot(name, selector, pinned) {
      const snapshot = await resolve(name, selector);
      const changed: Snapshot = { ...snapshot, pinned };
      await repository.commitSnapshot(changed);
      return changed;
    },
    async removeSnapshot(name, selector, by) {
      const snapshot = await resolve(name, selector);
      assertRemovable(deps, snapshot);
      await repository.removeSnapshot(name, snapshot.id);
      const text = `snapshot ${name}@${snapshot.id} was removed by ${by}`;
      events.emit('snapshot.removed', { server: name }, text, { snapshot: snapshot.id });
    },
    async rollback(request, by) {
      const server = await servers.get(request.server);
      const machineId = assignedMachine(server);
      if (server.state !== 'running' && server.state !== 'failed' && server.state !== 'rolling-back') {
        throw new OverdubError(
          'CONFLICT',
          `${server.name} is ${server.state} and cannot be rolled back now.`,
          'Wait until it runs: overdub operation list.',
        );
      }
      const snapshot = await resolve(request.server, request.to, request.strictlyBefore);
      const parameters: RollbackParameters = {
        snapshot: snapshot.id,
        dryRun: request.dryRun ?? false,
        keep: (request.keep ?? []).map(imagePath),
        only: (request.only ?? []).map(imagePath),
        safetySnapshot: request.safetySnapshot ?? true,
      };
      return engine.submit({
        kind: 'rollback',
        server: server.name,
        machineId,
        parameters: { ...parameters },
        requestedBy: by,
      });
    },
  };
}

/** A snapshot by selector. NOT_FOUND, INPUT_INVALID. */
export async function findSnapshot(
  { repository, servers, clock }: ControlDeps,
  server: string,
  selector: string,
  strictlyBefore = false,
): Promise<Snapshot> {
  await servers.get(server);
  return resolveSelector(await repository.listSnapshots(server), selector, {
    now: clock.now(),
    strictlyBefore,
  });
}

/** `/etc/nginx/` → `etc/nginx`; what leaves the root is INPUT_INVALID. */
export function imagePath(path: string): string {
  const relative = path.replace(/^\/+/, '').replace(/\/+$/, '');
  try {
    assertEntryPath(relative);
  } catch (error) {
    throw new OverdubError(
      'INPUT_INVALID',
      `${JSON.stringify(path)} is no path inside a server.`,
      'Name it as it is on the server, for example /etc/nginx/nginx.conf.',
      { cause: error },
    );
  }
  return relative;
}

function assertRemovable({ engine }: ControlDeps, snapshot: Snapshot): void {
  if (snapshot.pinned) {
    throw new OverdubError(
      'CONFLICT',
      `Snapshot ${snapshot.id} is pinned.`,
      `Unpin it first: overdub snapshot unpin ${snapshot.server}@${snapshot.id}.`,
    );
  }
  const user = engine
    .open()
    .find((operation) => operation.server === snapshot.server && operation.kind !== 'snapshot');
  if (user === undefined) return;
  throw new OverdubError(
    'CONFLICT',
    `${user.kind} ${user.id} works on ${snapshot.server} and may need its snapshots.`,
    'Wait until it has ended.',
  );
}

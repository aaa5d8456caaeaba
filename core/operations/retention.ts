/** Removes the snapshots that a server's policy no longer keeps. */

import { snapshotsToRemove } from '../domain/retention.ts';
import type { Snapshot } from '../domain/snapshot.ts';
import { recall } from './definition.ts';
import type { InstallMemory } from './install-steps.ts';
import type { OperationServices } from './services.ts';

type Needed = Pick<OperationServices, 'repository' | 'events' | 'clock' | 'servers' | 'openOperations'>;

/** What would be removed now. What an open operation works with is never among it. */
export async function removable(services: Needed, serverName: string): Promise<Snapshot[]> {
  const server = await services.servers.get(serverName);
  const snapshots = await services.repository.listSnapshots(serverName);
  const needed = new Set(
    services
      .openOperations()
      .filter((operation) => operation.server === serverName)
      .flatMap((operation) => [
        operation.parameters.snapshot,
        recall<InstallMemory>(operation).image?.snapshot,
      ]),
  );
  return snapshotsToRemove(snapshots, server.retention, services.clock.now()).filter(
    (snapshot) => !needed.has(snapshot.id),
  );
}

/** Removes it, and tells of each one. Idempotent. */
export async function applyRetention(services: Needed, serverName: string): Promise<Snapshot[]> {
  const removed = await removable(services, serverName);
  for (const snapshot of removed) {
    await services.repository.removeSnapshot(serverName, snapshot.id);
    services.events.emit(
      'snapshot.removed',
      { server: serverName },
      `snapshot ${serverName}@${snapshot.id} was removed by retention`,
      { snapshot: snapshot.id, endedAt: snapshot.endedAt },
    );
  }
  return removed;
}

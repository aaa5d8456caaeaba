/** What a rollback makes of the other snapshots: none of what came after is where the server goes on from. */

import type { Repository } from '../contracts/repository.ts';
import type { Snapshot } from '../domain/snapshot.ts';

/** Ids of the snapshots that a rollback to `target` gives up: those that ended after it and are not suspect already. */
export async function youngerThan(
  repository: Pick<Repository, 'listSnapshots'>,
  target: Snapshot,
): Promise<string[]> {
  const end = Date.parse(target.endedAt);
  return (await repository.listSnapshots(target.server))
    .filter(({ id, suspect, endedAt }) => id !== target.id && !suspect && Date.parse(endedAt) > end)
    .map(({ id }) => id);
}

/**
 * Marks these as `suspect`, so that neither `latest` nor a move brings back what was undone; `target` itself is what the
 * server is from now on, also where it was evidence before. Repeatable; what is gone meanwhile is passed over.
 */
export async function giveUp(
  repository: Pick<Repository, 'getSnapshot' | 'commitSnapshot'>,
  target: Snapshot,
  ids: readonly string[],
): Promise<void> {
  await mark(repository, target.server, target.id, false);
  for (const id of ids) await mark(repository, target.server, id, true);
}

/** Read anew for each: what else was changed of it meanwhile, such as a pin, stays. */
async function mark(
  repository: Pick<Repository, 'getSnapshot' | 'commitSnapshot'>,
  server: string,
  id: string,
  suspect: boolean,
): Promise<void> {
  const snapshot = await repository.getSnapshot(server, id);
  if (snapshot === undefined || snapshot.suspect === suspect) return;
  await repository.commitSnapshot({ ...snapshot, suspect });
}

/** What a rollback makes of the other snapshots: none of what came after is where the server goes on from. */

import type { Repository } from '../contracts/repository.ts';
import type { Snapshot } from '../domain/snapshot.ts';

type Records = Pick<Repository, 'listSnapshots' | 'commitSnapshot'>;

/**
 * Marks what ended after `target` as `suspect`, so that neither `latest` nor a move brings back what was undone; `target`
 * itself is what the server is from now on, also where it was evidence before. Repeatable. Ids of those newly marked.
 */
export async function giveUpAfter(repository: Records, target: Snapshot): Promise<string[]> {
  const marked: string[] = [];
  for (const snapshot of await repository.listSnapshots(target.server)) {
    if (snapshot.id === target.id) {
      if (snapshot.suspect) await repository.commitSnapshot({ ...snapshot, suspect: false });
    } else if (!snapshot.suspect && Date.parse(snapshot.endedAt) > Date.parse(target.endedAt)) {
      await repository.commitSnapshot({ ...snapshot, suspect: true });
      marked.push(snapshot.id);
    }
  }
  return marked;
}

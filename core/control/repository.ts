/** Upkeep of the repository, as administrators ask for it. */

import type { ApplianceControl } from '../contracts/control.ts';
import type { ControlDeps } from './deps.ts';

type RepositoryControl = Pick<ApplianceControl, 'collectGarbage'>;

export function repositoryControl({ engine }: ControlDeps): RepositoryControl {
  return {
    collectGarbage: ({ dryRun }, by) =>
      engine.submit({ kind: 'gc', parameters: { dryRun: dryRun ?? false }, requestedBy: by }),
  };
}

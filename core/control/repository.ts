/** Upkeep of the repository, as administrators ask for it. */

import type { ApplianceControl } from '../contracts/control.ts';
import { OverdubError } from '../errors.ts';
import type { ControlDeps } from './deps.ts';

type RepositoryControl = Pick<
  ApplianceControl,
  'collectGarbage' | 'verifyRepository' | 'repairRepository' | 'optimise' | 'repositoryUsage'
>;

export function repositoryControl({ engine, repository }: ControlDeps): RepositoryControl {
  return {
    collectGarbage: ({ dryRun }, by) =>
      engine.submit({ kind: 'gc', parameters: { dryRun: dryRun ?? false }, requestedBy: by }),
    repositoryUsage: () => repository.usage(),
    repairRepository: ({ readData }, by) =>
      engine.submit({ kind: 'repair', parameters: { readData: readData ?? false }, requestedBy: by }),
    optimise: (by) => engine.submit({ kind: 'optimise', requestedBy: by }),
    async verifyRepository({ readData, samplePercent }, by) {
      if (samplePercent !== undefined && !(samplePercent > 0 && samplePercent <= 100)) {
        throw new OverdubError(
          'INPUT_INVALID',
          `A sample of ${samplePercent} percent cannot be read.`,
          'Name a share above 0 and up to 100, such as 5.',
        );
      }
      const sample = samplePercent === undefined ? {} : { samplePercent };
      // A sample is of what is read.
      const parameters = { readData: readData ?? samplePercent !== undefined, ...sample };
      return engine.submit({ kind: 'verify', parameters, requestedBy: by });
    },
  };
}

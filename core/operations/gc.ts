/** Collection of what no image needs any more, as an operation: asked for, and daily by the scheduler. */

import { HOUR_MS, type OperationDefinition, type StepContext } from './definition.ts';
import type { OperationServices } from './services.ts';

/** A snapshot that is under way may be waited for as long as this. */
const DEADLINE_MS = 7 * 24 * HOUR_MS;

export interface GcParameters {
  readonly dryRun: boolean;
}

export function gc({ repository }: Pick<OperationServices, 'repository'>): OperationDefinition {
  const steps = [
    {
      name: 'collect',
      deadlineMs: DEADLINE_MS,
      async run(context: StepContext) {
        const { dryRun } = context.operation.parameters as Partial<GcParameters>;
        const report = await repository.collect({
          dryRun: dryRun === true,
          signal: context.signal,
          onProgress: context.progress,
        });
        await context.remember({ result: { ...report } });
      },
    },
  ];
  return { kind: 'gc', steps: () => steps };
}

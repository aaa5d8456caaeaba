/** Retention as an operation of its own: daily, by the scheduler. */

import { HOUR_MS, type OperationDefinition, type StepContext } from './definition.ts';
import { applyRetention } from './retention.ts';
import type { OperationServices } from './services.ts';

export function prune(services: OperationServices): OperationDefinition {
  const steps = [
    {
      name: 'prune',
      deadlineMs: 24 * HOUR_MS,
      async run(context: StepContext) {
        const removed = await applyRetention(services, context.operation.server ?? '');
        await context.remember({ result: { removed: removed.map((snapshot) => snapshot.id) } });
      },
    },
  ];
  return { kind: 'prune', steps: () => steps };
}

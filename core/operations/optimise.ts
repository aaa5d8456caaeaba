/** Compresses the repository harder, in the background; see {@link Repository.optimise}. */

import { HOUR_MS, type OperationDefinition, type StepContext } from './definition.ts';
import type { OperationServices } from './services.ts';

/** Rested for each second of work: others get the processor at least half of the time. */
const REST_SHARE = 1;

export function optimise({ repository, clock }: OperationServices): OperationDefinition {
  const steps = [
    {
      name: 'optimise',
      deadlineMs: 24 * HOUR_MS,
      async run({ signal, progress, remember }: StepContext) {
        const result = await repository.optimise({
          signal,
          pause: (workedMs) => clock.sleep(workedMs * REST_SHARE, signal),
          onProgress: ({ packs, bytesBefore, bytesAfter }) =>
            progress({
              doneBytes: bytesBefore,
              text: `${packs} packs, ${bytesBefore - bytesAfter} bytes saved`,
            }),
        });
        await remember({ result: { ...result } });
      },
    },
  ];
  return { kind: 'optimise', steps: () => steps };
}

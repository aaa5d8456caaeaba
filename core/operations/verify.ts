/** Looks for damage in the repository, as an operation. What is found is its result; it is told of as an event too. */

import type { VerifyReport } from '../contracts/repository.ts';
import { HOUR_MS, type OperationDefinition, type StepContext } from './definition.ts';
import type { OperationServices } from './services.ts';

/** Reading a large repository from a slow disk. */
const DEADLINE_MS = 7 * 24 * HOUR_MS;

export interface VerifyParameters {
  readonly readData: boolean;
  /** Of the stored bytes, with `readData`. */
  readonly samplePercent?: number;
}

export function verify({
  repository,
  events,
}: Pick<OperationServices, 'repository' | 'events'>): OperationDefinition {
  const steps = [
    {
      name: 'verify',
      deadlineMs: DEADLINE_MS,
      async run(context: StepContext) {
        const { id, parameters } = context.operation;
        const { readData, samplePercent } = parameters as Partial<VerifyParameters>;
        const report = await repository.verify({
          readData: readData === true,
          ...(samplePercent === undefined ? {} : { samplePercent }),
          signal: context.signal,
          onProgress: context.progress,
        });
        if (!report.sound) events.emit('repository.damaged', { operation: id }, summaryOf(report));
        await context.remember({ result: { ...report } });
      },
    },
  ];
  return { kind: 'verify', steps: () => steps };
}

function summaryOf({ placesTotal, damagedImages, damagedPacksTotal, damagedRecords }: VerifyReport): string {
  const records = damagedRecords.length === 0 ? '' : `, ${damagedRecords.length} commit objects unreadable`;
  return (
    `the repository is damaged: ${damagedPacksTotal} packs, ` +
    `${placesTotal} files in ${damagedImages.length} images${records}`
  );
}

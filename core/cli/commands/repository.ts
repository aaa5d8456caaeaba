import type { CollectionReport } from '../../contracts/repository.ts';
import type { Operation } from '../../domain/operation.ts';
import { type Command, defineCommand } from '../command.ts';
import { facts, size } from '../format.ts';
import { showOperation, WAIT_FLAGS } from '../wait.ts';

export const repositoryCommands: readonly Command[] = [
  defineCommand({
    path: ['gc'],
    summary: 'Free what no snapshot and no master needs any more',
    positionals: [],
    flags: { 'dry-run': { type: 'boolean', summary: 'Only say what would be freed' }, ...WAIT_FLAGS },
    examples: ['overdub gc', 'overdub gc --dry-run'],
    async run(call) {
      const client = call.client();
      const started = await client.post<Operation>('/repository/gc', { dryRun: call.flag('dry-run') });
      return showOperation(call, client, started, (result) =>
        collected(result as unknown as CollectionReport),
      );
    },
  }),
];

function collected(report: CollectionReport): string {
  const { dryRun, removedPacks, freedBytes, copiedPacks, copiedBytes, packs, packBytes } = report;
  const would = dryRun ? 'would ' : '';
  return facts([
    ['in use', `${size(report.liveBytes)} in ${report.liveChunks} chunks`],
    ['stored', `${size(packBytes)} in ${packs} packs`],
    [`${would}free`, `${size(Math.max(0, freedBytes - copiedBytes))}`],
    [`${would}remove`, `${removedPacks} packs, ${size(freedBytes)}`],
    [`${would}copy`, copiedPacks === 0 ? undefined : `${size(copiedBytes)} out of ${copiedPacks} packs`],
  ]);
}

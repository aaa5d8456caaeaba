import type {
  CollectionReport,
  OptimiseResult,
  RepairReport,
  VerifyReport,
} from '../../contracts/repository.ts';
import type { Operation } from '../../domain/operation.ts';
import { type Command, defineCommand, UsageError } from '../command.ts';
import { repaired, verified } from '../damage-text.ts';
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
      return showOperation(call, client, started, {
        text: (result) => collected(result as unknown as CollectionReport),
      });
    },
  }),
  defineCommand({
    path: ['verify'],
    summary: 'Look for damage in the repository, down to server, snapshot and path',
    positionals: [],
    flags: {
      'read-data': { type: 'boolean', summary: 'Also read and check everything that is stored' },
      sample: {
        type: 'string',
        value: 'PERCENT',
        summary: 'Read only this share; successive runs get around to all (implies --read-data)',
      },
      ...WAIT_FLAGS,
    },
    examples: ['overdub verify', 'overdub verify --read-data', 'overdub verify --read-data --sample 5%'],
    async run(call) {
      const samplePercent = percent(call.text('sample'));
      const client = call.client();
      const started = await client.post<Operation>('/repository/verify', {
        readData: call.flag('read-data') || samplePercent !== undefined,
        ...(samplePercent === undefined ? {} : { samplePercent }),
      });
      return showOperation(call, client, started, {
        text: (result) => verified(result as unknown as VerifyReport),
        isBad: (result) => result.sound === false,
      });
    },
  }),
  defineCommand({
    path: ['repair'],
    summary: 'Get what is damaged from the machines that still have it',
    positionals: [],
    flags: {
      'read-data': { type: 'boolean', summary: 'Read everything first, to find damage not known yet' },
      ...WAIT_FLAGS,
    },
    examples: ['overdub repair', 'overdub repair --read-data'],
    async run(call) {
      const client = call.client();
      const started = await client.post<Operation>('/repository/repair', {
        readData: call.flag('read-data'),
      });
      return showOperation(call, client, started, {
        text: (result) => repaired(result as unknown as RepairReport),
        isBad: (result) => result.sound === false,
      });
    },
  }),
  defineCommand({
    path: ['optimise'],
    summary: 'Compress the repository harder, in the background',
    positionals: [],
    flags: WAIT_FLAGS,
    examples: ['overdub optimise', 'overdub optimise --no-wait'],
    async run(call) {
      const client = call.client();
      const started = await client.post<Operation>('/repository/optimise');
      return showOperation(call, client, started, {
        text: (result) => optimised(result as unknown as OptimiseResult),
      });
    },
  }),
];

/** `5%` or `5`. */
function percent(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+(\.\d+)?%?$/.test(text) ? Number.parseFloat(text) : 0;
  if (value > 0 && value <= 100) return value;
  throw new UsageError(`--sample takes a share above 0 and up to 100, such as 5%; not ${text}.`);
}

function optimised({ packs, bytesBefore, bytesAfter }: OptimiseResult): string {
  return facts([
    ['packs', `${packs} compressed anew`],
    ['stored', `${size(bytesBefore)} before, ${size(bytesAfter)} now; the next gc frees the rest`],
  ]);
}

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

import type { ApplianceControl } from '../../contracts/control.ts';
import { type Command, defineCommand } from '../command.ts';
import { facts, size, table, time } from '../format.ts';

type Info = Awaited<ReturnType<ApplianceControl['info']>>;

export const applianceCommands: readonly Command[] = [
  defineCommand({
    path: ['stats'],
    summary: 'Show the appliance: version, plugins, what the repository holds and what it saves',
    positionals: [],
    flags: {},
    examples: ['overdub stats', 'overdub stats --json'],
    async run(call) {
      const info = await call.client().get<Info>('/info');
      call.show(info, () => describe(info));
      return 0;
    },
  }),
];

function describe({ version, startedAt, state, repository, plugins }: Info): string {
  const head = facts([
    ['version', version],
    ['started', time(startedAt)],
    ['state', state],
    [
      'plugins',
      plugins
        .map((plugin) => `${plugin.name}${plugin.state === 'running' ? '' : ` (${plugin.state})`}`)
        .join(' '),
    ],
    ['contents', `${size(repository.logicalBytes)} in ${repository.chunks} chunks`],
    ['stored', `${size(repository.storedBytes)} in ${repository.packs} packs`],
  ]);
  const rows = Object.entries(repository.byForm).map(([form, { chunks, logicalBytes, storedBytes }]) => [
    form,
    chunks,
    size(logicalBytes),
    size(storedBytes),
  ]);
  return `${head}\n\n${table(['stored as', 'chunks', 'contents', 'stored'], rows, 'The repository is empty.')}`;
}

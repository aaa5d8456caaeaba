import { resolve } from 'node:path';
import { formatMaster, type Master } from '../../domain/master.ts';
import type { Operation } from '../../domain/operation.ts';
import { segment } from '../client.ts';
import { type Command, defineCommand } from '../command.ts';
import { facts, safe, size, table, time } from '../format.ts';
import { showOperation, WAIT_FLAGS } from '../wait.ts';

export const masterCommands: readonly Command[] = [
  defineCommand({
    path: ['master', 'import'],
    summary: 'Import a directory, tar or OCI archive as the next version of a master',
    positionals: ['NAME', 'SOURCE'],
    flags: {
      'allow-unbootable': { type: 'boolean', summary: 'Also without kernel and initramfs' },
      ...WAIT_FLAGS,
    },
    examples: ['overdub master import web /srv/masters/web', 'overdub master import web web.tar.zst'],
    async run(call) {
      const client = call.client();
      const operation = await client.post<Operation>('/masters', {
        name: call.positional(0),
        source: resolve(call.environment.cwd, call.positional(1)),
        ...(call.flag('allow-unbootable') ? { allowUnbootable: true } : {}),
      });
      return showOperation(call, client, operation);
    },
  }),
  defineCommand({
    path: ['master', 'list'],
    summary: 'List masters',
    positionals: [],
    flags: {},
    examples: ['overdub master list'],
    async run(call) {
      const masters = await call.client().get<Master[]>('/masters');
      const rows = masters.map((master) => [
        formatMaster(master),
        master.arch,
        master.kernel?.version ?? '-',
        master.manifest.entries,
        size(master.manifest.bytes),
        time(master.importedAt),
      ]);
      call.show(masters, () =>
        table(['master', 'arch', 'kernel', 'entries', 'size', 'imported'], rows, 'There is no master yet.'),
      );
      return 0;
    },
  }),
  defineCommand({
    path: ['master', 'show'],
    summary: 'Show one master',
    positionals: ['MASTER'],
    flags: {},
    examples: ['overdub master show web', 'overdub master show web@3'],
    async run(call) {
      const master = await call.client().get<Master>(`/masters/${segment(call.positional(0))}`);
      call.show(master, () =>
        facts([
          ['master', formatMaster(master)],
          ['kind', master.kind],
          ['arch', master.arch],
          ['kernel', master.kernel?.version],
          ['entries', master.manifest.entries],
          ['size', size(master.manifest.bytes)],
          ['manifest', master.manifest.root],
          ['source', safe(master.source)],
          ['imported', time(master.importedAt)],
        ]),
      );
      return 0;
    },
  }),
  defineCommand({
    path: ['master', 'remove'],
    summary: 'Remove a master that no server uses',
    positionals: ['MASTER'],
    flags: {},
    examples: ['overdub master remove web@1'],
    async run(call) {
      await call.client().delete(`/masters/${segment(call.positional(0))}`);
      call.show({ removed: call.positional(0) }, () => `${call.positional(0)} is removed`);
      return 0;
    },
  }),
];

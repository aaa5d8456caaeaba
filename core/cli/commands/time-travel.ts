import type { Operation } from '../../domain/operation.ts';
import { segment } from '../client.ts';
import { type Call, type Command, defineCommand, UsageError } from '../command.ts';
import { safe } from '../format.ts';
import { selectorWithOffset } from '../times.ts';
import { hasEnded, showOperation, WAIT_FLAGS, waitForEnd } from '../wait.ts';

export const timeTravelCommands: readonly Command[] = [
  defineCommand({
    path: ['rollback'],
    summary: 'Take a server back in time',
    positionals: ['SERVER'],
    flags: {
      to: {
        type: 'string',
        value: 'SNAPSHOT',
        summary: 'latest, ~2, an id, 12:45 or a full time: the newest that ended by then',
      },
      before: {
        type: 'string',
        value: 'TIME',
        summary: 'The newest snapshot that ended strictly before this',
      },
      'dry-run': { type: 'boolean', summary: 'Print what would change, change nothing' },
      keep: { type: 'string', value: 'PATH', multiple: true, summary: 'Leave this path as it is' },
      only: { type: 'string', value: 'PATH', multiple: true, summary: 'Take back this path alone' },
      'no-safety-snapshot': {
        type: 'boolean',
        summary: 'Do not keep the present state as evidence and undo',
      },
      ...WAIT_FLAGS,
    },
    examples: [
      'overdub rollback web-1 --to 12:45',
      'overdub rollback web-1 --before 12:58 --dry-run',
      'overdub rollback web-1 --to ~2 --keep /var/lib/orders',
    ],
    async run(call) {
      const client = call.client();
      const path = `/servers/${segment(call.positional(0))}/rollback`;
      const started = await client.post<Operation>(path, requestOf(call));
      if (!call.flag('dry-run') || call.json || call.flag('no-wait'))
        return showOperation(call, client, started);
      const ended = await waitForEnd(call, client, started);
      showChanges(call, ended);
      return showOperation(call, client, ended);
    },
  }),
  defineCommand({
    path: ['move'],
    summary: 'Bring a server back on another machine, from its newest snapshot',
    positionals: ['SERVER'],
    flags: {
      to: { type: 'string', value: 'MACHINE', summary: 'The accepted machine that takes its place' },
      ...WAIT_FLAGS,
    },
    examples: ['overdub move web-1 --to machine-0d0b02'],
    async run(call) {
      const machine = call.text('to');
      if (machine === undefined) throw new UsageError('--to MACHINE is missing.');
      const client = call.client();
      const path = `/servers/${segment(call.positional(0))}/move`;
      return showOperation(call, client, await client.post<Operation>(path, { machine }));
    },
  }),
];

function requestOf(call: Call): object {
  const [to, before] = [call.text('to'), call.text('before')];
  if ((to === undefined) === (before === undefined)) {
    throw new UsageError('Say where to go: either --to SNAPSHOT or --before TIME.');
  }
  const [keep, only] = [call.list('keep').map(inside), call.list('only').map(inside)];
  return {
    to: selectorWithOffset((to ?? before) as string, call.environment.now()),
    ...(before === undefined ? {} : { strictlyBefore: true }),
    ...(call.flag('dry-run') ? { dryRun: true } : {}),
    ...(keep.length === 0 ? {} : { keep }),
    ...(only.length === 0 ? {} : { only }),
    ...(call.flag('no-safety-snapshot') ? { safetySnapshot: false } : {}),
  };
}

/** `/etc/motd` on the server is `etc/motd` in the image. */
function inside(path: string): string {
  return path.replace(/^\/+|\/+$/g, '');
}

function showChanges(call: Call, ended: Operation): void {
  const changes = ended.result?.changes;
  if (!hasEnded(ended) || !Array.isArray(changes)) return;
  for (const { path, action } of changes as readonly { readonly path: string; readonly action: string }[]) {
    call.environment.out(`${action.padEnd(8)} /${safe(path)}\n`);
  }
}

import { formatMaster } from '../../domain/master.ts';
import type { Operation } from '../../domain/operation.ts';
import type { Snapshot } from '../../domain/snapshot.ts';
import { segment } from '../client.ts';
import { type Call, type Command, defineCommand } from '../command.ts';
import { facts, safe, size, table, time } from '../format.ts';
import { splitReference } from '../times.ts';
import { showOperation, WAIT_FLAGS } from '../wait.ts';

const at = (call: Call): string => {
  const { server, selector } = splitReference(call.positional(0), call.environment.now());
  return `/servers/${segment(server)}/snapshots/${segment(selector)}`;
};

const pin = (verb: 'pin' | 'unpin', summary: string): Command =>
  defineCommand({
    path: ['snapshot', verb],
    summary,
    positionals: ['SERVER@SNAPSHOT'],
    flags: {},
    examples: [`overdub snapshot ${verb} web-1@12:45`],
    async run(call) {
      const snapshot = await call.client().put<Snapshot>(`${at(call)}/pinned`, { pinned: verb === 'pin' });
      call.show(snapshot, () => `${snapshot.id} is ${snapshot.pinned ? 'pinned' : 'not pinned'}`);
      return 0;
    },
  });

export const snapshotCommands: readonly Command[] = [
  defineCommand({
    path: ['snapshot', 'take'],
    summary: 'Take a snapshot now',
    positionals: ['SERVER'],
    flags: WAIT_FLAGS,
    examples: ['overdub snapshot take web-1'],
    async run(call) {
      const client = call.client();
      const started = await client.post<Operation>(`/servers/${segment(call.positional(0))}/snapshots`);
      return showOperation(call, client, started);
    },
  }),
  defineCommand({
    path: ['snapshot', 'list'],
    summary: 'List the snapshots of a server, newest last',
    positionals: ['SERVER'],
    flags: {},
    examples: ['overdub snapshot list web-1'],
    async run(call) {
      const snapshots = await call
        .client()
        .get<Snapshot[]>(`/servers/${segment(call.positional(0))}/snapshots`);
      const rows = snapshots.map((snapshot) => [
        snapshot.id,
        time(snapshot.endedAt),
        snapshot.consistency,
        snapshot.reason,
        snapshot.stats.filesChanged,
        size(snapshot.stats.bytesReceived + snapshot.stats.bytesSent),
        size(snapshot.stats.bytesStored),
        [snapshot.pinned && 'pinned', snapshot.suspect && 'suspect'].filter(Boolean).join(' '),
      ]);
      call.show(snapshots, () =>
        table(
          ['id', 'ended', 'consistency', 'reason', 'changed', 'moved', 'stored', ''],
          rows,
          'There is no snapshot yet.',
        ),
      );
      return 0;
    },
  }),
  defineCommand({
    path: ['snapshot', 'show'],
    summary: 'Show one snapshot',
    positionals: ['SERVER@SNAPSHOT'],
    flags: {},
    examples: ['overdub snapshot show web-1@latest', 'overdub snapshot show web-1@12:45'],
    async run(call) {
      const snapshot = await call.client().get<Snapshot>(at(call));
      call.show(snapshot, () => details(snapshot));
      return 0;
    },
  }),
  pin('pin', 'Keep a snapshot whatever the retention says'),
  pin('unpin', 'Let the retention decide about a snapshot again'),
  defineCommand({
    path: ['snapshot', 'remove'],
    summary: 'Remove one snapshot; all others stay restorable',
    positionals: ['SERVER@SNAPSHOT'],
    flags: {},
    examples: ['overdub snapshot remove web-1@~3'],
    async run(call) {
      await call.client().delete(at(call));
      call.show({ removed: call.positional(0) }, () => `${call.positional(0)} is removed`);
      return 0;
    },
  }),
];

function details(snapshot: Snapshot): string {
  return facts([
    ['snapshot', snapshot.id],
    ['server', snapshot.server],
    ['master', snapshot.master && formatMaster(snapshot.master)],
    ['began', time(snapshot.startedAt)],
    ['ended', time(snapshot.endedAt)],
    ['consistency', snapshot.consistency],
    ['reason', snapshot.reason],
    ['marks', [snapshot.pinned && 'pinned', snapshot.suspect && 'suspect'].filter(Boolean).join(' ')],
    ['machine', snapshot.machineId],
    ['entries', snapshot.manifest.entries],
    ['size', size(snapshot.manifest.bytes)],
    ['files changed', snapshot.stats.filesChanged],
    ['received', size(snapshot.stats.bytesReceived)],
    ['sent', size(snapshot.stats.bytesSent)],
    ['stored', size(snapshot.stats.bytesStored)],
    ['skipped', snapshot.skippedTotal],
    ...snapshot.skipped.slice(0, 20).map(({ path, reason }) => ['', `${safe(path)} (${reason})`] as const),
  ]);
}

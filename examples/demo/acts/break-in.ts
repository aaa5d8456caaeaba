/** Act three: somebody breaks in. The difference shows exactly what was done; rollback undoes it. */

import type { DiffEntry, Operation, Snapshot } from '@overdub/core';
import { DEFACED_PAGE, DEFACED_TEXT, PATCHED_BINARY, SERVER } from '../cast.ts';
import { movedBytes } from '../overdub.ts';
import type { Stage } from '../report.ts';
import type { Scene } from '../scene.ts';
import { type GoodState, ORDERS } from './drift.ts';

/** Where a running server changes by itself: logs, the database under load, service state, what Debian does daily. */
const LIVING = [
  'var/log',
  'var/backups',
  'var/lib/apt',
  'var/lib/logrotate',
  'var/lib/postgresql',
  'var/lib/systemd',
  'var/lib/dhcp',
  'var/tmp',
  'tmp',
  'var/cache',
];

export interface Crime {
  readonly binaryBefore: string;
  readonly evidence: Snapshot;
}

export async function breakIn(scene: Scene, stage: Stage): Promise<Crime> {
  const { guest } = scene;
  const binaryBefore = await sha256(scene);
  await guest.sh('systemctl stop load');
  await guest.sh(
    [
      `cp -a /${PATCHED_BINARY} /run/original`,
      `printf hacked | dd of=/${PATCHED_BINARY} bs=1 seek=30000 conv=notrunc status=none`,
      `touch -r /run/original /${PATCHED_BINARY}`,
      'rm /run/original',
      `echo '${DEFACED_TEXT}' > /${DEFACED_PAGE}`,
    ].join(' && '),
  );
  stage.say(`a binary is patched and its times restored; the page is defaced`);
  stage.check('the page is defaced', (await guest.page()).includes('owned'), DEFACED_TEXT);
  stage.check('the binary is not what it was', (await sha256(scene)) !== binaryBefore, PATCHED_BINARY);
  const operation = await scene.overdub.json<Operation>(stage.say, 'snapshot', 'take', SERVER);
  stage.moved(movedBytes(operation));
  const evidence = (await scene.overdub.quiet<Snapshot[]>('snapshot', 'list', SERVER)).at(-1);
  if (evidence === undefined) throw new Error('no snapshot was listed after one was taken');
  return { binaryBefore, evidence };
}

export async function showDifference(
  scene: Scene,
  stage: Stage,
  good: GoodState,
  crime: Crime,
): Promise<void> {
  const changes = await scene.overdub.json<DiffEntry[]>(
    stage.say,
    'diff',
    `${SERVER}@${good.snapshot.id}`,
    `${SERVER}@${crime.evidence.id}`,
  );
  const still = changes.filter(
    (change) => !LIVING.some((path) => change.path === path || change.path.startsWith(`${path}/`)),
  );
  for (const change of still) stage.say(`${change.change.padEnd(8)} /${change.path}`);
  stage.say(`(and ${changes.length - still.length} where the server lives: logs, database)`);
  const contents = still.filter((change) => change.change !== 'metadata').map((change) => change.path);
  stage.check(
    'the difference is exactly the break-in',
    contents.length === 2 && contents.includes(PATCHED_BINARY) && contents.includes(DEFACED_PAGE),
    contents.join(', '),
  );
}

export async function rollback(scene: Scene, stage: Stage, good: GoodState, crime: Crime): Promise<void> {
  const { guest } = scene;
  const operation = await scene.overdub.json<Operation>(
    stage.say,
    'rollback',
    SERVER,
    '--to',
    good.snapshot.endedAt,
  );
  stage.moved(movedBytes(operation));
  stage.check('rolled back', operation.state === 'done');
  await guest.eventually('ssh', () => guest.connect());
  const page = await guest.eventually('nginx', () => guest.page());
  stage.check('the page is right again', page.includes('version 2'));
  stage.check('the binary is right again', (await sha256(scene)) === crime.binaryBefore, PATCHED_BINARY);
  await checkDrift(scene, stage, good);
  const list = await scene.overdub.quiet<Snapshot[]>('snapshot', 'list', SERVER);
  const safety = list.findLast((snapshot) => snapshot.reason === 'safety');
  stage.check('a safety snapshot was taken', safety?.suspect === true && safety.pinned, safety?.id ?? 'none');
  if (safety === undefined) return;
  const evidence = await scene.overdub.text('cat', `${SERVER}@${safety.id}`, `/${DEFACED_PAGE}`);
  stage.check('it holds the evidence', evidence.includes('owned'), evidence.trim());
}

/** The drift of act two is there, and the database is whole. */
export async function checkDrift(scene: Scene, stage: Stage, good: GoodState): Promise<void> {
  const { guest } = scene;
  stage.check('the package is still installed', (await guest.sh('hello')).includes('Hello'));
  stage.check('the files are still there', (await guest.sh('ls /srv/notes | wc -l')) === '200', '200 notes');
  await guest.eventually('PostgreSQL', () => guest.sql('shop', 'select 1'));
  const orders = Number(await guest.sql('shop', 'select count(*) from orders'));
  stage.check('no order is lost', orders === ORDERS, `${orders} rows`);
  const history = Number(await guest.sql('shop', 'select count(*) from pgbench_history'));
  const within = history >= good.historyBefore && history <= good.historyAfter;
  stage.check(
    'the history is that of the snapshot',
    within,
    `${good.historyBefore} ≤ ${history} ≤ ${good.historyAfter}`,
  );
  await guest.sh('su postgres -c \'psql -qd shop -c "create extension if not exists amcheck"\'');
  const amcheck = await guest.sh(
    "su postgres -c '/usr/lib/postgresql/*/bin/pg_amcheck --heapallindexed shop' 2>&1 && echo whole",
  );
  stage.check('pg_amcheck finds nothing', amcheck.endsWith('whole'), amcheck.split('\n').at(-1) ?? '');
}

async function sha256(scene: Scene): Promise<string> {
  return (await scene.guest.sh(`sha256sum /${PATCHED_BINARY}`)).split(' ')[0] ?? '';
}

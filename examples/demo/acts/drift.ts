/** Act two: the server lives. A package, files, a database under load; it snapshots itself all the while. */

import type { Operation, Snapshot } from '@overdub/core';
import { INTERVAL_SECONDS, SERVER } from '../cast.ts';
import type { Stage } from '../report.ts';
import type { Scene } from '../scene.ts';

/** What was true just before the last good snapshot began, and just after it ended. */
export interface GoodState {
  readonly snapshot: Snapshot;
  readonly historyBefore: number;
  readonly historyAfter: number;
}

const ORDERS = 500;

export async function drift(scene: Scene, stage: Stage): Promise<void> {
  const { guest } = scene;
  stage.say('a package is installed, files are written, a database is filled and put under load');
  await guest.sh('dpkg -i /opt/packages/hello_*.deb');
  await guest.sh(
    "mkdir -p /srv/notes && for i in $(seq 200); do echo note $i > /srv/notes/$i; done && sed -i 's/worker_connections 768/worker_connections 4096/' /etc/nginx/nginx.conf && systemctl reload nginx",
  );
  await guest.sh(
    "echo '<!doctype html><title>shop</title><h1>It works: this is the shop, version 2.</h1>' > /var/www/html/index.html",
  );
  await guest.sh(
    'su postgres -c "createdb shop && /usr/lib/postgresql/*/bin/pgbench -q -i -s 1 shop"',
    900_000,
  );
  await guest.sql(
    'shop',
    `create table orders(id int primary key, what text); insert into orders select g, 'order ' || g from generate_series(1, ${ORDERS}) g`,
  );
  await guest.sh(
    'systemd-run --quiet --unit=load --uid=postgres sh -c "exec /usr/lib/postgresql/*/bin/pgbench -n -c 1 -T 3600 -R 5 shop"',
  );
  stage.check('the package runs', (await guest.sh('hello')).includes('Hello'), 'hello');
  stage.check('the page was changed by its owner', (await guest.page()).includes('version 2'));
}

export async function snapshots(scene: Scene, stage: Stage): Promise<GoodState> {
  await scene.overdub.json(stage.say, 'server', 'set', SERVER, '--every', `${INTERVAL_SECONDS}s`);
  const first = await nextSnapshot(scene, 0);
  describe(stage, first);
  const historyBefore = await history(scene);
  // The next one begins after the count was taken: whatever it holds lies between the two counts.
  const counted = Date.now();
  await snapshotBegun(scene, counted);
  await scene.overdub.json(stage.say, 'server', 'set', SERVER, '--no-schedule');
  const good = await nextSnapshot(scene, Date.parse(first.endedAt), counted);
  const historyAfter = await history(scene);
  describe(stage, good);
  stage.check(
    'taken by the agent on its schedule',
    first.reason === 'schedule' && good.reason === 'schedule',
    `every ${INTERVAL_SECONDS} s`,
  );
  stage.check(
    'consistent for the database',
    good.consistency === 'application',
    'pg_backup_start … pg_backup_stop',
  );
  stage.check(
    'the second one moves only what changed',
    moved(good) < moved(first) || moved(good) < 8_000_000,
  );
  stage.moved(moved(first) + moved(good));
  return { snapshot: good, historyBefore, historyAfter };
}

/** The oldest snapshot that ended after `after` and began after `begunAfter` (milliseconds). */
async function nextSnapshot(scene: Scene, after: number, begunAfter = 0): Promise<Snapshot> {
  return await scene.guest.eventually('a scheduled snapshot', async () => {
    const list = await scene.overdub.quiet<Snapshot[]>('snapshot', 'list', SERVER);
    const found = list.find(
      (snapshot) => Date.parse(snapshot.endedAt) > after && Date.parse(snapshot.startedAt) > begunAfter,
    );
    if (found === undefined) throw new Error('not yet');
    return found;
  });
}

/** A schedule that ends now lets the snapshot finish that is under way. */
async function snapshotBegun(scene: Scene, after: number): Promise<void> {
  await scene.guest.eventually('a scheduled snapshot to begin', async () => {
    const running = await scene.overdub.quiet<Operation[]>('operation', 'list', '--state', 'running');
    const begun = running.some(({ kind, createdAt }) => kind === 'snapshot' && Date.parse(createdAt) > after);
    if (!begun) throw new Error('not yet');
  });
}

async function history(scene: Scene): Promise<number> {
  return Number(await scene.guest.sql('shop', 'select count(*) from pgbench_history'));
}

function moved(snapshot: Snapshot): number {
  return snapshot.stats.bytesReceived + snapshot.stats.bytesSent;
}

function describe(stage: Stage, snapshot: Snapshot): void {
  stage.check(
    `snapshot ${snapshot.endedAt}`,
    snapshot.manifest.entries > 0,
    `${snapshot.stats.filesChanged} files changed, ${moved(snapshot)} bytes moved, ${snapshot.stats.bytesStored} stored, ${snapshot.consistency}`,
  );
}

export { ORDERS };

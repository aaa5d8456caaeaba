/** What the appliance does by the clock: notices overdue snapshots and a full repository, prunes and collects daily. */

import type { Log } from '../contracts/log.ts';
import type { Server } from '../domain/server.ts';
import type { Engine } from '../operations/engine.ts';
import { removable } from '../operations/retention.ts';
import type { OperationServices } from '../operations/services.ts';

export interface WatcherDeps
  extends Pick<
    OperationServices,
    'catalogue' | 'repository' | 'servers' | 'events' | 'clock' | 'log' | 'openOperations'
  > {
  readonly engine: Engine;
  /** Free and total bytes of the repository's store, where it knows them. */
  space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number } | undefined>;
}

export interface Watcher {
  stop(): Promise<void>;
}

const TICK_MS = 60_000;
const DAY_MS = 86_400_000;
/** Two missed intervals, and the time a snapshot itself takes. */
const OVERDUE_INTERVALS = 2;
const OVERDUE_GRACE_MS = 60_000;
const LOW_SPACE_SHARE = 0.1;
const DAILY_SETTING = 'daily.last';
const GC_SETTING = 'gc.last';

/** Looks around once a minute until stopped. What fails is logged and tried again at the next round. */
export function startWatcher(deps: WatcherDeps): Watcher {
  const { clock, log } = deps;
  const stopped = new AbortController();
  const told = new Map<string, string>();
  let spaceIsLow = false;

  async function round(): Promise<void> {
    await attempt(log, 'overdue snapshots', async () => {
      for (const server of await deps.catalogue.servers.list()) await tellOverdue(deps, server, told);
    });
    await attempt(log, 'space of the repository', async () => {
      spaceIsLow = await tellLowSpace(deps, spaceIsLow);
    });
    await attempt(log, 'daily work', () => daily(deps));
    await attempt(log, 'daily collection', () => collectDaily(deps));
  }

  const watching = (async () => {
    while (!stopped.signal.aborted) {
      await round();
      await clock.sleep(TICK_MS, stopped.signal).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stopped.abort();
      await watching;
    },
  };
}

async function attempt(log: Log, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    log.error({ error: String(error) }, `could not look after: ${what}`);
  }
}

/** Once for each snapshot that stayed the last one for too long. */
async function tellOverdue(deps: WatcherDeps, server: Server, told: Map<string, string>): Promise<void> {
  const { schedule, name, state } = server;
  if (schedule === undefined || (state !== 'running' && state !== 'enrolled')) return;
  // Suspect ones too: after a rollback the newest good one may be days old, and the server does send.
  const ends = (await deps.repository.listSnapshots(name)).map(({ endedAt }) => endedAt);
  const last = ends.toSorted((a, b) => Date.parse(a) - Date.parse(b)).at(-1);
  const since = last ?? server.createdAt;
  const limitMs =
    OVERDUE_INTERVALS * schedule.everySeconds * 1000 + schedule.jitterSeconds * 1000 + OVERDUE_GRACE_MS;
  if (deps.clock.now() - Date.parse(since) <= limitMs || told.get(name) === since) return;
  told.set(name, since);
  const text =
    last === undefined ? `${name} has no snapshot yet` : `the last snapshot of ${name} ended at ${since}`;
  deps.events.emit('snapshot.overdue', { server: name }, text, {
    since,
    everySeconds: schedule.everySeconds,
  });
}

/** Told when it becomes low, and again only after it was not. */
async function tellLowSpace({ space, events }: WatcherDeps, wasLow: boolean): Promise<boolean> {
  const known = await space();
  if (known === undefined) return false;
  const low = known.freeBytes < known.totalBytes * LOW_SPACE_SHARE;
  if (low && !wasLow) {
    const percent = Math.floor((known.freeBytes / known.totalBytes) * 100);
    events.emit('repository.low-space', {}, `the repository has ${percent} % of its space left`, known);
  }
  return low;
}

/** Retention for servers that take no snapshots any more, mirrors of servers, an export of the machines. */
async function daily(deps: WatcherDeps): Promise<void> {
  const { catalogue, clock, engine, repository, servers } = deps;
  const last = Date.parse((await catalogue.settings.get(DAILY_SETTING)) ?? '') || 0;
  if (clock.now() - last < DAY_MS) return;
  for (const { name } of await catalogue.servers.list()) {
    if ((await removable(deps, name)).length === 0) continue;
    await engine.submit({ kind: 'prune', server: name, requestedBy: 'schedule' });
  }
  await servers.reconcile();
  await repository.putRecord('catalogue', 'machines', await catalogue.machines.list());
  await catalogue.settings.set(DAILY_SETTING, new Date(clock.now()).toISOString());
}

/** Frees what removed snapshots leave, once the day's pruning is over. For the first time a day after the first start. */
async function collectDaily({ catalogue, clock, engine, openOperations }: WatcherDeps): Promise<void> {
  const now = new Date(clock.now()).toISOString();
  const last = Date.parse((await catalogue.settings.get(GC_SETTING)) ?? '');
  if (Number.isNaN(last)) return catalogue.settings.set(GC_SETTING, now);
  const busy = openOperations().some(({ kind }) => kind === 'prune' || kind === 'gc');
  if (busy || clock.now() - last < DAY_MS) return;
  await engine.submit({ kind: 'gc', parameters: { dryRun: false }, requestedBy: 'schedule' });
  await catalogue.settings.set(GC_SETTING, now);
}

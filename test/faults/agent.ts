/** The real agent program on a directory, over HTTP: what `overdub agent snapshot|restore --root DIR` runs. */

import { mkdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { type Imager, type Snapshot, type SnapshotTask, toOverdubError } from '@overdub/core/agent';
import { Appliance as Link } from '../../plugins/agent/program/link/appliance.ts';
import { restoreImage } from '../../plugins/agent/program/transfer/restore.ts';
import { takeSnapshot } from '../../plugins/agent/program/transfer/snapshot.ts';
import rsync from '../../plugins/diff-rsync/agent.ts';
import zstd from '../../plugins/diff-zstd/agent.ts';
import { treeImager } from '../../plugins/imaging-tree/imager.ts';
import { openingBy } from '../interop/opening.ts';
import { until } from './room.ts';

export { treeImager };

export interface AgentWork {
  readonly url: string;
  readonly token: string;
  readonly server: string;
  readonly root: string;
  /** The agent's own directory. */
  readonly own: string;
  readonly imager?: Imager;
}

const codecs = [rsync, zstd].flatMap((half) => half.codecs ?? []);
const sleep = (ms: number, signal?: AbortSignal) =>
  delay(ms, undefined, signal === undefined ? {} : { signal });

/** Asks for a snapshot operation of its own and carries it out. */
export function snapshotDirectory(work: AgentWork): Promise<Snapshot> {
  return withLink(work, async (link, shared) => {
    const { signal } = shared;
    const task = await link.beginSnapshot({ server: work.server, reason: 'schedule' }, signal);
    await mkdir(work.own, { recursive: true });
    try {
      return await takeSnapshot({ ...shared, stateDir: work.own, still: true, sleep }, task);
    } catch (failure) {
      const error = toOverdubError(failure).toJSON();
      await link.report(task.id, { state: 'failed', error }, signal);
      throw failure;
    }
  });
}

/** The installed agent of a server: waits for an order to take a snapshot. `carryOut` does what it says. */
export function awaitSnapshotOrder<T>(
  work: AgentWork,
  use: (order: { task: SnapshotTask; carryOut(): Promise<void> }) => Promise<T>,
): Promise<T> {
  return withLink(work, async (link, shared) => {
    const { signal } = shared;
    const task = await until('the order to take a snapshot', async () => (await link.orders(5, signal)).task);
    if (task.kind !== 'snapshot') throw new Error(`not a snapshot: ${task.kind}`);
    const carryOut = async () => {
      await mkdir(work.own, { recursive: true });
      const snapshot = await takeSnapshot({ ...shared, stateDir: work.own, still: true, sleep }, task);
      await link.report(task.id, { state: 'done', result: { snapshot } }, signal);
    };
    return use({ task, carryOut });
  });
}

/** Makes the directory equal to a snapshot. */
export function restoreDirectory(work: AgentWork, selector: string): Promise<void> {
  return withLink(work, async (link, shared) => {
    const request = { server: work.server, selector, dryRun: false, keep: [], only: [] };
    const task = await link.beginRestore(request, shared.signal);
    await mkdir(work.root, { recursive: true });
    const context = { ...shared, workDir: work.own };
    await restoreImage(context, { ...task, server: work.server, excludes: [] });
  });
}

async function withLink<T>(work: AgentWork, use: (link: Link, shared: Shared) => Promise<T>): Promise<T> {
  const { url, token, server, root, imager = treeImager } = work;
  const link = new Link({
    url,
    self: { hello: { protocol: 1, where: 'server', bootId: 'directory', server }, credential: token },
    sleep,
  });
  const { signal } = new AbortController();
  const nowNs = () => BigInt(Date.now()) * 1_000_000n;
  try {
    return await use(link, {
      appliance: link,
      imager,
      codecs,
      root,
      signal,
      onProgress: () => undefined,
      print: () => undefined,
      nowNs,
    });
  } finally {
    link.close();
  }
}

type Shared = Omit<Parameters<typeof takeSnapshot>[0], 'stateDir' | 'still' | 'sleep'>;

/** An imager that stops when the contents of `path` are to be sent: `reached`, until `release`. */
export function stallingImager(path: string): {
  readonly imager: Imager;
  readonly reached: Promise<void>;
  release(): void;
} {
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let opened = 0;
  const imager = openingBy((name, really) => {
    // The first time it is read for its digest, the second time to be sent.
    if (name !== path || ++opened !== 2) return really();
    reached.resolve();
    return released.promise.then(really);
  });
  return { imager, reached: reached.promise, release: released.resolve };
}

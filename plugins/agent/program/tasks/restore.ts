/** The restore task: makes the unmounted disk equal to an image again. */

import { join } from 'node:path';
import type { RestoreResult, RestoreTask } from '@overdub/core/agent';
import { OverdubError } from '@overdub/core/agent';
import { type RestoreContext, recordRestored, restoreImage } from '../transfer/restore.ts';
import { agentStateIn, placeAgent } from './agent-files.ts';
import { nowNs, requireImager, type TaskContext } from './context.ts';
import { requireDisks, withDisk } from './disks.ts';
import { serverStateDir } from './snapshot.ts';
import { takeVouched } from './vouched.ts';

export async function restore(context: TaskContext, task: RestoreTask): Promise<RestoreResult> {
  const imager = requireImager(context, task.server.imager);
  const disks = requireDisks(imager);
  const { options, facts, signal } = context;
  if (options.where !== 'ramdisk') throw notHere();
  return await withDisk(disks, disks.open(task.server.identity, signal), async (disk) => {
    const vouched = task.dryRun ? undefined : takeVouched(task.server.name);
    const work = restoreContext(context, task.server, disk.rootMount, vouched);
    const order = orderOf(task);
    const result = await restoreImage(work, order);
    if (task.dryRun) return result;
    if (facts !== undefined) await disks.render(disk, task.server.identity, facts);
    await placeAgent(options, disk.rootMount, task);
    await recordRestored(work, order, agentStateIn(disk.rootMount, task.server.name), 'remove');
    return result;
  });
}

/** What a restore or an install works with. */
export function restoreContext(
  context: TaskContext,
  server: RestoreTask['server'],
  root: string,
  vouched: string | undefined,
): RestoreContext {
  const { appliance, codecs, signal, onProgress, options } = context;
  return {
    appliance,
    imager: requireImager(context, server.imager),
    codecs,
    root,
    workDir: join(serverStateDir(options.stateDir, server.name), 'work'),
    ...(vouched === undefined ? {} : { vouched }),
    signal,
    onProgress,
    print: options.print,
    nowNs,
  };
}

function orderOf(task: RestoreTask) {
  const { image, dryRun, keep, only, server } = task;
  return { server: server.name, image, excludes: server.excludes, dryRun, keep, only };
}

function notHere(): OverdubError {
  return new OverdubError(
    'CONFLICT',
    'A running server cannot be restored from within.',
    'Let the machine go into the ramdisk first: overdub rollback does that by itself.',
  );
}

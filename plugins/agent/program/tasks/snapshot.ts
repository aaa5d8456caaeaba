/** The snapshot task: of the running server, or of its unmounted disk. */

import { join } from 'node:path';
import type { SnapshotResult, SnapshotTask } from '@overdub/core/agent';
import { takeSnapshot } from '../transfer/snapshot.ts';
import { recordOf } from '../transfer/state.ts';
import { nowNs, requireImager, type TaskContext } from './context.ts';
import { requireDisks, withDisk } from './disks.ts';
import { vouch } from './vouched.ts';

/** Where a server keeps its own hooks. */
export const HOOKS_DIR = '/etc/overdub';

export async function snapshot(context: TaskContext, task: SnapshotTask): Promise<SnapshotResult> {
  const imager = requireImager(context, task.server.imager);
  const { appliance, codecs, signal, onProgress, clock, options } = context;
  const ramdisk = options.where === 'ramdisk';
  const stateDir = serverStateDir(options.stateDir, task.server.name);
  const take = async (root: string): Promise<SnapshotResult> => {
    const taken = await takeSnapshot(
      {
        appliance,
        imager,
        codecs,
        root,
        stateDir,
        still: ramdisk,
        signal,
        onProgress,
        print: options.print,
        nowNs,
        sleep: (ms, stop) => clock.sleep(ms, stop),
        ...(root === '/' ? { hooksDir: HOOKS_DIR } : {}),
      },
      task,
    );
    if (ramdisk && task.trust === 'nothing')
      vouch(task.server.name, await recordOf(stateDir, taken.manifest));
    return { snapshot: taken };
  };
  if (!ramdisk) return await take(options.root);
  const disks = requireDisks(imager);
  return await withDisk(disks, disks.open(task.server.identity, signal), (disk) => take(disk.rootMount));
}

/** One directory for each server, so that a ramdisk may work for several in turn. */
export function serverStateDir(stateDir: string, server: string): string {
  return join(stateDir, 'servers', server);
}

/** The install task: a naked disk becomes the server. */

import type { InstallResult, InstallTask } from '@overdub/core/agent';
import { OverdubError } from '@overdub/core/agent';
import { recordRestored, restoreImage } from '../transfer/restore.ts';
import { agentStateIn, placeAgent } from './agent-files.ts';
import { requireImager, type TaskContext } from './context.ts';
import { requireDisks, withDisk } from './disks.ts';
import { restoreContext } from './restore.ts';

export async function install(context: TaskContext, task: InstallTask): Promise<InstallResult> {
  const imager = requireImager(context, task.server.imager);
  const disks = requireDisks(imager);
  const { options, facts, signal, onProgress } = context;
  if (options.where !== 'ramdisk' || facts === undefined) throw notHere();
  const plan = {
    identity: task.server.identity,
    neededBytes: task.neededBytes,
    ...(task.diskPin === undefined ? {} : { pin: task.diskPin }),
    ...(task.avoidDisks === undefined ? {} : { avoid: task.avoidDisks }),
  };
  onProgress({ text: 'preparing the disk' });
  return await withDisk(disks, disks.prepare(plan, signal), async (disk) => {
    const { image, server } = task;
    const work = restoreContext(context, server, disk.rootMount, undefined);
    const order = {
      server: server.name,
      image,
      excludes: [],
      dryRun: false,
      keep: [],
      only: [],
      blank: true,
    };
    const result = await restoreImage(
      { ...work, onProgress: (progress) => onProgress({ ...progress, totalBytes: image.bytes }) },
      order,
    );
    if (task.fresh) await disks.personalize(disk, server.identity);
    onProgress({ text: 'bootloader and agent' });
    await disks.render(disk, server.identity, facts);
    await placeAgent(options, disk.rootMount, task);
    await recordRestored(work, order, agentStateIn(disk.rootMount, server.name));
    return {
      diskPin: disk.pin,
      writtenBytes: result.writtenBytes,
      bytesReceived: result.bytesReceived,
      ...(result.bytesSent === undefined ? {} : { bytesSent: result.bytesSent }),
    };
  });
}

function notHere(): OverdubError {
  return new OverdubError(
    'CONFLICT',
    'A server is installed from the ramdisk only.',
    'Boot the machine from the network.',
  );
}

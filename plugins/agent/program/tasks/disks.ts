/** Work on an unmounted disk: opened, and closed whatever happens. */

import { type DiskFeature, type Imager, OverdubError, type PreparedDisk } from '@overdub/core/agent';

/** DRIVER_MISSING when the imager knows no disks. */
export function requireDisks(imager: Imager): DiskFeature {
  if (imager.disks !== undefined) return imager.disks;
  throw new OverdubError(
    'DRIVER_MISSING',
    `The imager ${imager.kind} cannot work on disks.`,
    'Use an imager with disk support for machines.',
  );
}

/** Opens the server's disk for `work` and closes it again; a failure of the work counts more than one of closing. */
export async function withDisk<T>(
  disks: DiskFeature,
  open: Promise<PreparedDisk>,
  work: (disk: PreparedDisk) => Promise<T>,
): Promise<T> {
  const disk = await open;
  let result: T;
  try {
    result = await work(disk);
  } catch (error) {
    await disks.close(disk).catch(() => undefined);
    throw error;
  }
  await disks.close(disk);
  return result;
}

/** Which disk of a machine becomes the server's. */

import { type DiskPlan, OverdubError } from '@overdub/core/agent';
import type { DiskDevice } from './facts.ts';
import { ESP_BYTES, OVERHEAD_BYTES } from './layout.ts';

/** What a disk is recognised by later: its WWN, else its serial, else its place on the bus. */
export function pinOf(disk: DiskDevice): string {
  return disk.wwn ?? disk.serial ?? `path:${disk.place}`;
}

function isPinned(disk: DiskDevice, pin: string): boolean {
  return pin === disk.wwn || pin === disk.serial || pin === `path:${disk.place}`;
}

/**
 * The pinned disk, else the smallest sufficient one that stays in the machine and is not to be avoided. DISK_UNSUITABLE
 * says what there is.
 */
export function chooseDisk(
  disks: readonly DiskDevice[],
  { neededBytes, pin, avoid = [] }: Pick<DiskPlan, 'neededBytes' | 'pin' | 'avoid'>,
): DiskDevice {
  const needed = neededBytes + ESP_BYTES + OVERHEAD_BYTES;
  if (pin !== undefined) return pinnedDisk(disks, needed, pin);
  const candidates = disks.filter(
    ({ name, removable, transport, bytes }) =>
      !removable && transport !== 'usb' && bytes >= needed && !avoid.includes(name),
  );
  const chosen = candidates.sort((a, b) => a.bytes - b.bytes || (a.name < b.name ? -1 : 1))[0];
  if (chosen !== undefined) return chosen;
  const avoided = avoid.length === 0 ? '' : `; its kernel has no driver for ${avoid.join(', ')}`;
  throw unsuitable(
    `No disk of this machine can hold the server, which needs ${size(needed)}${avoided}`,
    disks,
  );
}

function pinnedDisk(disks: readonly DiskDevice[], needed: number, pin: string): DiskDevice {
  const matching = disks.filter((disk) => isPinned(disk, pin));
  const [disk] = matching;
  if (disk === undefined)
    throw unsuitable(`The disk ${pin}, which the server was installed on, is not here`, disks);
  if (matching.length > 1) {
    throw unsuitable(`${matching.map(({ name }) => name).join(' and ')} both call themselves ${pin}`, disks);
  }
  if (disk.bytes < needed) {
    throw unsuitable(`The disk ${pin} (${disk.name}) is too small: the server needs ${size(needed)}`, disks);
  }
  return disk;
}

function unsuitable(why: string, disks: readonly DiskDevice[]): OverdubError {
  return new OverdubError(
    'DISK_UNSUITABLE',
    `${why}. Disks found: ${disks.length === 0 ? 'none' : disks.map(describe).join('; ')}.`,
    'Put in a bigger disk, choose another machine, or add the disk controller’s driver to the ramdisk.',
  );
}

function describe(disk: DiskDevice): string {
  const marks = [disk.transport, disk.serial ?? disk.wwn, disk.removable ? 'removable' : undefined];
  return `${disk.name} ${size(disk.bytes)} (${marks.filter((mark) => mark !== undefined).join(', ')})`;
}

function size(bytes: number): string {
  return bytes >= 1024 ** 3 ? `${(bytes / 1024 ** 3).toFixed(1)} GiB` : `${Math.ceil(bytes / 1024 ** 2)} MiB`;
}

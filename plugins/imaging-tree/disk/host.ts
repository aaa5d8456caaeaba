/** The ramdisk's view of its hardware, as far as disks are concerned. Tests bring a host of loop devices. */

import { closeSync, existsSync, openSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type MachineFacts, OverdubError } from '@overdub/core/agent';
import { mountPoints } from '../tree/filesystems.ts';
import { MOUNT_FLAGS, mountDevice, syncFilesystem, unmount } from '../tree/libc.ts';
import { type DiskDevice, readDisks, readFacts } from './facts.ts';
import { isDiskName, partitionName } from './naming.ts';
import { type RunOptions, runProgram } from './run.ts';

/** A block device that may hold a filesystem. */
export interface Volume {
  /** /dev path. */
  readonly device: string;
  /** Kernel name of the disk it is on. */
  readonly disk: string;
}

export interface DiskHost {
  facts(): MachineFacts;
  disks(): DiskDevice[];
  /** /dev path of a disk. */
  devicePath(disk: string): string;
  /** /dev path of a partition, once the kernel shows it. DISK_UNSUITABLE when it does not. */
  partition(disk: string, number: number, signal: AbortSignal): Promise<string>;
  /** Partitions and whole disks. */
  volumes(): Volume[];
  run(program: string, args: readonly string[], options?: RunOptions): Promise<string>;
  /** Mounts so that what an image holds cannot act here: no devices, no set-id, nothing executed. */
  mount(device: string, target: string, type: 'ext4' | 'vfat'): void;
  /** Syncs and unmounts; nothing mounted is no failure. */
  unmount(target: string): void;
  /** Existing directory below which filesystems are mounted. */
  readonly mountBase: string;
  /** GRUB's modules: directories `i386-pc` and `x86_64-efi` are below. */
  readonly grubModules: string;
  /** Tells the operator, on the machine's console, what was not done and why. */
  warn(text: string): void;
}

const INERT = MOUNT_FLAGS.noDev | MOUNT_FLAGS.noSuid | MOUNT_FLAGS.noExec | MOUNT_FLAGS.noAtime;
const NODE_PATIENCE_MS = 15_000;

/** The machine this process runs on. devtmpfs makes the nodes; no udev is needed. */
export const linuxHost: DiskHost = {
  facts: () => readFacts({ sys: '/sys', proc: '/proc' }),
  disks: () => readDisks('/sys'),
  devicePath: (disk) => `/dev/${disk}`,
  partition: async (disk, number, signal) => {
    const path = `/dev/${partitionName(disk, number)}`;
    for (let waited = 0; !existsSync(path); waited += 100) {
      if (waited >= NODE_PATIENCE_MS) throw noNode(path);
      await sleep(100, undefined, { signal });
    }
    return path;
  },
  volumes: () =>
    readdirSync('/sys/block')
      .filter(isDiskName)
      .sort()
      .flatMap((disk) => {
        const parts = readdirSync(`/sys/block/${disk}`)
          .filter((name) => name.startsWith(disk))
          .sort();
        return [disk, ...parts].map((name) => ({ device: `/dev/${name}`, disk }));
      }),
  run: runProgram,
  mount: (device, target, type) => mountDevice(device, target, type, INERT),
  unmount: syncAndUnmount,
  mountBase: '/run/overdub',
  grubModules: '/usr/lib/grub',
  warn: (text) => console.error(`overdub: ${text}`),
};

/** Exported for hosts that mount real filesystems too. */
export function syncAndUnmount(target: string): void {
  if (!mountPoints().has(target)) return;
  const fd = openSync(target, 'r');
  try {
    syncFilesystem(fd);
  } finally {
    closeSync(fd);
  }
  unmount(target);
}

function noNode(path: string): OverdubError {
  return new OverdubError(
    'DISK_UNSUITABLE',
    `The kernel does not show the partition ${path} within ${NODE_PATIENCE_MS / 1000} s.`,
    'Look at the kernel messages of the machine; the disk may be failing.',
  );
}

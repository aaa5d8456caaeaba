/** Machines with disks of their own: the ramdisk's part of the tree imager. */

import type { DiskFeature } from '@overdub/core/agent';
import { placeInBootOrder } from './boot/firmware-order.ts';
import { installBootloader } from './boot/install.ts';
import { type DiskHost, linuxHost } from './host.ts';
import { renderInterfaceLinks } from './personal/links.ts';
import { personalizeRoot } from './personal/personalize.ts';
import { closeDisk, openDisk, prepareDisk } from './prepare.ts';

/** The feature over any host; see {@link DiskFeature} for what each call guarantees. */
export function createDiskFeature(host: DiskHost): DiskFeature {
  return {
    facts: async () => host.facts(),
    prepare: (plan, signal) => prepareDisk(host, plan, signal),
    open: (identity, signal) => openDisk(host, identity, signal),
    personalize: async (disk, identity) => personalizeRoot(disk.rootMount, identity),
    render: async (disk, identity, facts) => {
      renderInterfaceLinks(disk.rootMount, facts.nics);
      await installBootloader(host, disk, identity);
      if (facts.firmware === 'uefi') await placeInBootOrder(host, disk);
    },
    close: (disk) => closeDisk(host, disk),
  };
}

/** The feature on the machine this process runs on. */
export const diskFeature: DiskFeature = createDiskFeature(linuxHost);

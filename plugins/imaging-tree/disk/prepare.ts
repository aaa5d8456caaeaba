/** From a naked disk to mounted filesystems, and back to them later. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type DiskPlan, OverdubError, type PreparedDisk, type ServerIdentity } from '@overdub/core/agent';
import { chooseDisk, pinOf } from './choose.ts';
import type { DiskDevice } from './facts.ts';
import { readExtUuid, readFatId } from './gpt.ts';
import type { DiskHost } from './host.ts';
import { PARTITIONS, SFDISK_SCRIPT } from './layout.ts';

/**
 * Named one by one, so that neither the ramdisk's mke2fs.conf nor a newer mke2fs makes a root that the server's own
 * kernel, e2fsck or a GRUB of 2.06 cannot read.
 */
const EXT4_FEATURES =
  'none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,' +
  'huge_file,dir_nlink,extra_isize,metadata_csum';

/** See {@link DiskFeature.prepare}. */
export async function prepareDisk(
  host: DiskHost,
  plan: DiskPlan,
  signal: AbortSignal,
): Promise<PreparedDisk> {
  const disk = chooseDisk(host.disks(), plan);
  const device = host.devicePath(disk.name);
  await host.run('sfdisk', ['--wipe', 'always', '--wipe-partitions', 'always', '--quiet', device], {
    input: SFDISK_SCRIPT,
    signal,
  });
  const esp = await host.partition(disk.name, PARTITIONS.esp, signal);
  const root = await host.partition(disk.name, PARTITIONS.root, signal);
  // FAT32 needs 65,525 clusters (FAT specification): 256 MiB of 4096-byte sectors do not have them.
  const fatSize = disk.sectorBytes === 512 ? ['-F', '32'] : [];
  await host.run(
    'mkfs.vfat',
    [...fatSize, '-S', String(disk.sectorBytes), '-i', plan.identity.espId, '-n', 'OVERDUB', esp],
    {
      signal,
    },
  );
  const lazy = 'lazy_itable_init=1,lazy_journal_init=1';
  const ext4 = [
    '-F',
    '-q',
    '-b',
    '4096',
    '-I',
    '256',
    '-O',
    EXT4_FEATURES,
    '-E',
    lazy,
    '-U',
    plan.identity.rootUuid,
    root,
  ];
  await host.run('mkfs.ext4', ext4, { signal });
  return mountDisk(host, disk, root, esp);
}

/** See {@link DiskFeature.open}. NOT_FOUND when no disk has it, CONFLICT when two do. */
export async function openDisk(
  host: DiskHost,
  identity: ServerIdentity,
  signal: AbortSignal,
): Promise<PreparedDisk> {
  const volumes = host.volumes();
  const roots = volumes.filter(({ device }) => readExtUuid(device) === identity.rootUuid);
  const [root] = roots;
  if (root === undefined) throw rootMissing(identity, volumes.length);
  if (roots.length > 1)
    throw rootTwice(
      identity,
      roots.map(({ device }) => device),
    );
  const disk = host.disks().find(({ name }) => name === root.disk);
  const esp = volumes.find(
    (volume) => volume.disk === root.disk && readFatId(volume.device) === identity.espId,
  );
  if (disk === undefined || esp === undefined) throw espMissing(root.device, identity);
  // 1: errors corrected. 8 and above cannot come from the filesystem itself.
  await host.run('e2fsck', ['-p', root.device], { signal, accept: [0, 1] });
  return mountDisk(host, disk, root.device, esp.device);
}

/** See {@link DiskFeature.close}. Idempotent. */
export async function closeDisk(host: DiskHost, disk: PreparedDisk): Promise<void> {
  host.unmount(disk.espMount);
  host.unmount(disk.rootMount);
}

function mountDisk(host: DiskHost, disk: DiskDevice, root: string, esp: string): PreparedDisk {
  const prepared: PreparedDisk = {
    device: host.devicePath(disk.name),
    pin: pinOf(disk),
    bytes: disk.bytes,
    rootMount: join(host.mountBase, 'root'),
    espMount: join(host.mountBase, 'esp'),
  };
  mountOnce(host, root, prepared.rootMount, 'ext4');
  try {
    mountOnce(host, esp, prepared.espMount, 'vfat');
  } catch (error) {
    host.unmount(prepared.rootMount);
    throw error;
  }
  return prepared;
}

/** What an interrupted task left mounted is let go first. */
function mountOnce(host: DiskHost, device: string, target: string, type: 'ext4' | 'vfat'): void {
  mkdirSync(target, { recursive: true });
  host.unmount(target);
  host.mount(device, target, type);
}

function rootMissing(identity: ServerIdentity, looked: number): OverdubError {
  return new OverdubError(
    'NOT_FOUND',
    `None of this machine's ${looked} volumes holds the root filesystem of ${identity.hostname} (UUID ${identity.rootUuid}).`,
    'Assign the server to the machine that has its disk, or move it here to have it written anew.',
  );
}

function rootTwice(identity: ServerIdentity, devices: readonly string[]): OverdubError {
  return new OverdubError(
    'CONFLICT',
    `${devices.join(' and ')} both carry the root filesystem UUID of ${identity.hostname}; the machine could boot either.`,
    'Remove or wipe the leftover disk.',
  );
}

function espMissing(root: string, identity: ServerIdentity): OverdubError {
  return new OverdubError(
    'DISK_UNSUITABLE',
    `The disk of ${root} has no EFI system partition with the volume id ${identity.espId}.`,
    'Its partitions were changed from outside; move the server here again to have the disk written anew.',
  );
}

/**
 * BIOS boot on GPT without grub-bios-setup, which must map devices through /sys and udev: boot.img goes to sector 0,
 * the core image to the BIOS boot partition, as GRUB 2.06's util/setup.c does it (without Reed-Solomon codes).
 */

import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { OverdubError } from '@overdub/core/agent';
import { type Gpt, readGpt } from '../gpt.ts';
import { TYPE_GUIDS } from '../layout.ts';

const SECTOR = 512;
/** include/grub/i386/pc/boot.h */
const DRIVE_CHECK = 0x66;
const KERNEL_SECTOR = 0x5c;
/** The partition table and disk signature of the MBR begin here (GRUB_BOOT_MACHINE_WINDOWS_NT_MAGIC). */
const TABLE_START = 0x1b8;
const TABLE_END = 0x1fe;
/** Last entry of diskboot.img's block list: start (8 bytes), length in sectors (2), segment (2). */
const BLOCK_LIST = SECTOR - 12;
const CORE_SEGMENT = 0x820;

/** Writes both images to a disk or throws DISK_UNSUITABLE without having written anything. */
export function embedBiosBoot(device: string, bootImage: Buffer, coreImage: Buffer): void {
  const gpt = readGpt(device);
  const partition = gpt?.partitions.find(({ typeGuid }) => typeGuid === TYPE_GUIDS.biosBoot);
  if (gpt === undefined || partition === undefined) throw unsuitable(device, 'has no BIOS boot partition');
  const start = partition.firstLba * gpt.sectorBytes;
  const room = (partition.lastLba + 1) * gpt.sectorBytes - start;
  if (coreImage.length > room) throw unsuitable(device, `has only ${room} bytes in its BIOS boot partition`);
  const core = linkedCore(coreImage, biosSector(start, gpt));
  const fd = openSync(device, 'r+');
  try {
    // The core first: sector 0 never points at half of it.
    writeAll(fd, core, start);
    fsyncSync(fd);
    writeAll(fd, bootSector(fd, bootImage, biosSector(start, gpt), gpt), 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** BIOS counts in the disk's logical sectors. */
function biosSector(offset: number, gpt: Gpt): bigint {
  return BigInt(offset / gpt.sectorBytes);
}

function linkedCore(image: Buffer, firstSector: bigint): Buffer {
  const sectors = Math.ceil(image.length / SECTOR);
  const core = Buffer.alloc(sectors * SECTOR);
  image.copy(core);
  core.writeBigUInt64LE(firstSector + 1n, BLOCK_LIST);
  core.writeUInt16LE(sectors - 1, BLOCK_LIST + 8);
  core.writeUInt16LE(CORE_SEGMENT, BLOCK_LIST + 10);
  return core;
}

function bootSector(fd: number, bootImage: Buffer, firstSector: bigint, gpt: Gpt): Buffer {
  const sector = Buffer.alloc(gpt.sectorBytes);
  readSync(fd, sector, 0, sector.length, 0);
  bootImage.copy(sector, 0, 0, TABLE_START);
  bootImage.copy(sector, TABLE_END, TABLE_END, SECTOR);
  sector.writeBigUInt64LE(firstSector, KERNEL_SECTOR);
  // Some BIOSes hand over a wrong drive number: without the jump, GRUB corrects it.
  sector.writeUInt16LE(0x9090, DRIVE_CHECK);
  return sector;
}

function writeAll(fd: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
}

function unsuitable(device: string, why: string): OverdubError {
  return new OverdubError(
    'DISK_UNSUITABLE',
    `${device} ${why}.`,
    'Its partitions were changed from outside; provision the machine again.',
  );
}

/** Reads GUID partition tables (UEFI 2.10 §5.3) and the identities of filesystems from a block device. */

import { closeSync, openSync, readSync } from 'node:fs';

export interface GptPartition {
  readonly number: number;
  /** Upper-case. */
  readonly typeGuid: string;
  /** The partition's own, upper-case. */
  readonly guid: string;
  /** In sectors of the table's own size. */
  readonly firstLba: number;
  readonly lastLba: number;
}

export interface Gpt {
  readonly sectorBytes: number;
  readonly partitions: readonly GptPartition[];
}

const MAX_ENTRIES = 256;

/** The table of a disk, its sector size found by where the header lies; undefined when there is none. */
export function readGpt(device: string): Gpt | undefined {
  const fd = openSync(device, 'r');
  try {
    for (const sectorBytes of [512, 4096]) {
      const header = readAt(fd, sectorBytes, 92);
      if (header.toString('latin1', 0, 8) === 'EFI PART')
        return { sectorBytes, partitions: entries(fd, header, sectorBytes) };
    }
    return undefined;
  } finally {
    closeSync(fd);
  }
}

function entries(fd: number, header: Buffer, sectorBytes: number): GptPartition[] {
  const start = Number(header.readBigUInt64LE(72)) * sectorBytes;
  const count = Math.min(header.readUInt32LE(80), MAX_ENTRIES);
  const width = header.readUInt32LE(84);
  if (width < 128 || width > 4096) return [];
  const table = readAt(fd, start, count * width);
  const found: GptPartition[] = [];
  for (let index = 0; index < count && (index + 1) * width <= table.length; index++) {
    const entry = table.subarray(index * width, index * width + 128);
    const typeGuid = guid(entry);
    if (/^[0-]+$/.test(typeGuid)) continue;
    found.push({
      number: index + 1,
      typeGuid,
      guid: guid(entry.subarray(16)),
      firstLba: Number(entry.readBigUInt64LE(32)),
      lastLba: Number(entry.readBigUInt64LE(40)),
    });
  }
  return found;
}

/** The first three fields are little-endian. */
function guid(bytes: Buffer): string {
  const hex = (from: number, to: number) => bytes.toString('hex', from, to);
  const swapped = (from: number, to: number) =>
    Buffer.from(bytes.subarray(from, to)).reverse().toString('hex');
  return [swapped(0, 4), swapped(4, 6), swapped(6, 8), hex(8, 10), hex(10, 16)].join('-').toUpperCase();
}

/** UUID of an ext2/3/4 filesystem (superblock at 1024, `s_magic` 0x38, `s_uuid` 0x68); undefined when it is none. */
export function readExtUuid(device: string): string | undefined {
  return withDevice(device, (fd) => {
    const block = readAt(fd, 1024, 256);
    if (block.length < 256 || block.readUInt16LE(0x38) !== 0xef53) return undefined;
    const hex = block.toString('hex', 0x68, 0x78);
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  });
}

/** Volume id of a FAT filesystem as eight upper-case hex digits; undefined when it is none. */
export function readFatId(device: string): string | undefined {
  return withDevice(device, (fd) => {
    const block = readAt(fd, 0, 512);
    if (block.length < 512 || block.readUInt16LE(510) !== 0xaa55) return undefined;
    const fat32 = block.toString('latin1', 0x52, 0x57) === 'FAT32';
    if (!fat32 && block.toString('latin1', 0x36, 0x39) !== 'FAT') return undefined;
    return block
      .readUInt32LE(fat32 ? 0x43 : 0x27)
      .toString(16)
      .padStart(8, '0')
      .toUpperCase();
  });
}

/** Devices without a medium, or that vanish, hold nothing. */
function withDevice<T>(device: string, read: (fd: number) => T): T | undefined {
  let fd: number;
  try {
    fd = openSync(device, 'r');
  } catch {
    return undefined;
  }
  try {
    return read(fd);
  } finally {
    closeSync(fd);
  }
}

/** Up to `length` bytes; fewer at the end of the device. */
function readAt(fd: number, offset: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  const count = readSync(fd, buffer, 0, length, offset);
  return buffer.subarray(0, count);
}

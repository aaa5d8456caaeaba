/** Disks that machines with a BIOS start from. */

import { closeSync, openSync, writeSync } from 'node:fs';

/** What a disk says that was started. */
export const DISK_SPEAKS = 'the disk was started';

/** Prints by the BIOS's teletype (int 10h, ah 0Eh) what follows it, and halts. */
const PROGRAM = Buffer.from('31c08ed8be177cac84c07408b40e31dbcd10ebf3f4ebfd', 'hex');

/** Makes the first sector of a disk image a boot sector. */
export function putBootSector(image: string): void {
  const sector = Buffer.alloc(512);
  PROGRAM.copy(sector);
  sector.write(`\r\n${DISK_SPEAKS}\r\n\0`, PROGRAM.length, 'latin1');
  sector.writeUInt16LE(0xaa55, 510);
  const file = openSync(image, 'r+');
  writeSync(file, sector);
  closeSync(file);
}

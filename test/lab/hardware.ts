/** QEMU arguments for pieces of hardware. */

import { copyFileSync, existsSync } from 'node:fs';
import { OverdubError } from '@overdub/core';

export interface DiskSpec {
  readonly kind: 'virtio' | 'sata' | 'nvme' | 'scsi';
  readonly bytes: number;
  readonly serial: string;
  /** Logical and physical sector size; default 512. */
  readonly sectorBytes?: 512 | 4096;
}

/** Disk number `index`, after the network in the boot order. `cache=unsafe`: the emulated power never fails for real. */
export function diskArguments(disk: DiskSpec, image: string, index = 0): string[] {
  const id = `disk${index}`;
  const drive = ['-drive', `if=none,id=${id},file=${image},format=raw,cache=unsafe,discard=unmap`];
  const sector = disk.sectorBytes ?? 512;
  const sectors = `logical_block_size=${sector},physical_block_size=${sector}`;
  const common = `drive=${id},serial=${disk.serial},bootindex=${index + 2},${sectors}`;
  const devices = {
    virtio: ['-device', `virtio-blk-pci,${common}`],
    sata: ['-device', `ahci,id=sata${index}`, '-device', `ide-hd,bus=sata${index}.0,${common}`],
    nvme: ['-device', `nvme,${common}`],
    scsi: ['-device', `virtio-scsi-pci,id=scsi${index}`, '-device', `scsi-hd,bus=scsi${index}.0,${common}`],
  } as const;
  return [...drive, ...devices[disk.kind]];
}

/** A NIC first in the boot order. BIOS: QEMU's ROM is iPXE. UEFI: no ROM, so that the firmware's own client runs. */
export function nicArguments(nic: {
  readonly index: number;
  readonly tap: string;
  readonly mac: string;
  readonly model: string;
  readonly firmware: 'bios' | 'uefi';
}): string[] {
  const rom = nic.firmware === 'uefi' ? ',romfile=' : '';
  const boot = nic.index === 0 ? ',bootindex=1' : '';
  return [
    '-netdev',
    `tap,id=net${nic.index},ifname=${nic.tap},script=no,downscript=no`,
    '-device',
    `${nic.model},netdev=net${nic.index},mac=${nic.mac}${boot}${rom}`,
  ];
}

const OVMF_CODE = '/usr/share/OVMF/OVMF_CODE_4M.fd';
const OVMF_VARS = '/usr/share/OVMF/OVMF_VARS_4M.fd';

/** Board and firmware. UEFI variables live in `varsFile`, made from the empty set at the first power-on. */
export function firmwareArguments(firmware: 'bios' | 'uefi', varsFile: string): string[] {
  if (firmware === 'bios') return ['-machine', 'pc'];
  if (!existsSync(OVMF_CODE) || !existsSync(OVMF_VARS)) {
    throw new OverdubError(
      'PREREQUISITE_MISSING',
      `${OVMF_CODE} is missing; machines with UEFI firmware need it.`,
      'Install it: apt-get install ovmf',
    );
  }
  if (!existsSync(varsFile)) copyFileSync(OVMF_VARS, varsFile);
  return [
    '-machine',
    'q35',
    '-drive',
    `if=pflash,format=raw,readonly=on,file=${OVMF_CODE}`,
    '-drive',
    `if=pflash,format=raw,file=${varsFile}`,
  ];
}

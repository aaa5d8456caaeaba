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

/** Where a device stands among its like, and whether the firmware is told a boot order. */
interface Place {
  readonly index: number;
  readonly ordered: boolean;
}

/** A disk, after the network in the boot order. `cache=unsafe`: the emulated power never fails for real. */
export function diskArguments(disk: DiskSpec, image: string, { index, ordered }: Place): string[] {
  const id = `disk${index}`;
  const drive = ['-drive', `if=none,id=${id},file=${image},format=raw,cache=unsafe,discard=unmap`];
  const sector = disk.sectorBytes ?? 512;
  const sectors = `logical_block_size=${sector},physical_block_size=${sector}`;
  const common = `drive=${id},serial=${disk.serial},${sectors}${ordered ? `,bootindex=${index + 2}` : ''}`;
  const devices = {
    virtio: ['-device', `virtio-blk-pci,${common}`],
    sata: ['-device', `ahci,id=sata${index}`, '-device', `ide-hd,bus=sata${index}.0,${common}`],
    nvme: ['-device', `nvme,${common}`],
    scsi: ['-device', `virtio-scsi-pci,id=scsi${index}`, '-device', `scsi-hd,bus=scsi${index}.0,${common}`],
  } as const;
  return [...drive, ...devices[disk.kind]];
}

/** A NIC first in the boot order. BIOS: QEMU's ROM is iPXE. UEFI: no ROM, so that the firmware's own client runs. */
export function nicArguments(
  nic: Place & {
    readonly tap: string;
    readonly mac: string;
    readonly model: string;
    readonly firmware: 'bios' | 'uefi';
  },
): string[] {
  const rom = nic.firmware === 'uefi' ? ',romfile=' : '';
  const boot = nic.ordered && nic.index === 0 ? ',bootindex=1' : '';
  return [
    '-netdev',
    `tap,id=net${nic.index},ifname=${nic.tap},script=no,downscript=no`,
    '-device',
    `${nic.model},netdev=net${nic.index},mac=${nic.mac}${boot}${rom}`,
  ];
}

/** What a machine's firmware is, and what it wants of the network. */
export interface FirmwareSpec {
  readonly firmware: 'bios' | 'uefi';
  /** UEFI: enforces signatures, with Microsoft's keys enrolled. */
  readonly secureBoot?: boolean;
  /** UEFI: boots by HTTP and never asks for PXE. */
  readonly httpBoot?: boolean;
  /** UEFI: boots by PXE over IPv6 and never asks for PXE over IPv4. */
  readonly ipv6Boot?: boolean;
  /** BIOS: what firmware and boot loaders show on their screen is on the serial console, too. */
  readonly screenOnSerial?: boolean;
  /** Default `x86_64`. `arm64` is UEFI, always emulated. */
  readonly arch?: 'x86_64' | 'arm64';
}

interface FirmwareFiles {
  readonly code: string;
  readonly variables: string;
  readonly package: string;
}

const OVMF: FirmwareFiles = {
  code: '/usr/share/OVMF/OVMF_CODE_4M.fd',
  variables: '/usr/share/OVMF/OVMF_VARS_4M.fd',
  package: 'ovmf',
};
const OVMF_SECURE: FirmwareFiles = {
  code: '/usr/share/OVMF/OVMF_CODE_4M.ms.fd',
  variables: '/usr/share/OVMF/OVMF_VARS_4M.ms.fd',
  package: 'ovmf',
};
const AAVMF: FirmwareFiles = {
  code: '/usr/share/AAVMF/AAVMF_CODE.fd',
  variables: '/usr/share/AAVMF/AAVMF_VARS.fd',
  package: 'qemu-efi-aarch64',
};

/** The emulator's program. */
export function emulator({ arch = 'x86_64' }: FirmwareSpec): string {
  return arch === 'arm64' ? 'qemu-system-aarch64' : 'qemu-system-x86_64';
}

/** Board and firmware. UEFI variables live in `varsFile`, made from the package's set at the first power-on. */
export function firmwareArguments(spec: FirmwareSpec, varsFile: string): string[] {
  if (spec.firmware === 'bios') return ['-machine', spec.screenOnSerial === true ? 'pc,graphics=off' : 'pc'];
  const files = spec.arch === 'arm64' ? AAVMF : spec.secureBoot === true ? OVMF_SECURE : OVMF;
  if (!existsSync(files.code) || !existsSync(files.variables)) {
    throw new OverdubError(
      'PREREQUISITE_MISSING',
      `${files.code} is missing; machines with UEFI firmware need it.`,
      `Install it: apt-get install ${files.package}`,
    );
  }
  if (!existsSync(varsFile)) copyFileSync(files.variables, varsFile);
  return [
    ...board(spec),
    ...['-drive', `if=pflash,format=raw,readonly=on,file=${files.code}`],
    ...['-drive', `if=pflash,format=raw,file=${varsFile}`],
    ...(spec.httpBoot === true ? ['IPv4', 'IPv6'].flatMap(withoutPxe) : []),
    ...(spec.ipv6Boot === true ? withoutPxe('IPv4') : []),
  ];
}

/** System management mode guards the variables that say which signatures count. */
function board({ arch, secureBoot }: FirmwareSpec): readonly string[] {
  if (arch === 'arm64') return ['-machine', 'virt'];
  if (secureBoot !== true) return ['-machine', 'q35'];
  return ['-machine', 'q35,smm=on', '-global', 'driver=cfi.pflash01,property=secure,value=on'];
}

/** OVMF's own switches, which know one letter; HTTP Boot comes last in its order, after minutes of PXE. */
function withoutPxe(family: string): readonly string[] {
  return ['-fw_cfg', `name=opt/org.tianocore/${family}PXESupport,string=n`];
}

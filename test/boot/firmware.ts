/** The kinds of firmware that machines come with. */

import type { MachineSpec } from '../lab/index.ts';

export const SECURE_MAC = '52:54:00:77:04:04';
/** Of a BIOS machine labelled `loader=pxelinux`. */
export const PXELINUX_MAC = '52:54:00:77:04:06';

const disk = { kind: 'virtio', bytes: 1e9, serial: 'BOOT-1' } as const;

export const FIRMWARE = {
  BIOS: {
    name: 'bios',
    mac: '52:54:00:77:04:01',
    uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770401',
    firmware: 'bios',
    screenOnSerial: true,
    disk,
  },
  'BIOS by PXELINUX': {
    name: 'pxelinux',
    mac: PXELINUX_MAC,
    uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770406',
    firmware: 'bios',
    screenOnSerial: true,
    disk,
  },
  'UEFI x86-64': {
    name: 'uefi',
    mac: '52:54:00:77:04:02',
    uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770402',
    firmware: 'uefi',
    disk,
  },
  'UEFI HTTP Boot': {
    name: 'http',
    mac: '52:54:00:77:04:03',
    uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770403',
    firmware: 'uefi',
    httpBoot: true,
    disk,
  },
  'Secure Boot': {
    name: 'secure',
    mac: SECURE_MAC,
    uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770404',
    firmware: 'uefi',
    secureBoot: true,
    disk,
  },
  'UEFI arm64': {
    name: 'arm',
    mac: '52:54:00:77:04:05',
    uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770405',
    firmware: 'uefi',
    arch: 'arm64',
  },
} as const satisfies Readonly<Record<string, MachineSpec>>;

export type Firmware = keyof typeof FIRMWARE;

/** What a simulated fleet is made of: like machines, half of them with BIOS, half with UEFI. */

import { createHash } from 'node:crypto';
import type { Firmware, MachineFacts } from '@overdub/core/agent';

/** One machine as its firmware and its ramdisk know it. */
export interface Hardware {
  readonly index: number;
  readonly mac: string;
  readonly uuid: string;
  readonly firmware: Firmware;
}

/** The machine with this number; the same again at every call. */
export function hardwareOf(index: number): Hardware {
  const mac = ['52', '54', '0f', index >> 16, index >> 8, index]
    .map((byte) => (typeof byte === 'string' ? byte : (byte & 255).toString(16).padStart(2, '0')))
    .join(':');
  const hex = createHash('sha256').update(mac).digest('hex');
  const uuid = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ];
  return { index, mac, uuid: uuid.join('-'), firmware: index % 2 === 0 ? 'bios' : 'uefi' };
}

/** What its agent reports: two disks, two interfaces. */
export function factsOf({ index, mac, uuid, firmware }: Hardware): MachineFacts {
  const disk = (name: string, bytes: number) => ({
    name,
    bytes,
    sectorBytes: 512,
    transport: 'nvme' as const,
    serial: `FLEET${index}${name}`,
    wwn: `eui.${uuid.slice(-12)}${name}`,
    model: 'Simulated 1T',
    removable: false,
    devices: [{ modalias: 'pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02', module: 'nvme' }],
  });
  return {
    uuid,
    firmware,
    arch: 'x86_64',
    cpu: { model: 'Simulated 16-Core Processor', cores: 16 },
    memoryBytes: 64 * 1024 ** 3,
    disks: [disk('nvme0n1', 1e12), disk('nvme1n1', 1e12)],
    nics: [
      { name: 'eth0', mac, driver: 'igb', speedMbps: 1000, link: true },
      { name: 'eth1', mac: mac.replace('52:54:0f', '52:54:1f'), driver: 'igb', link: false },
    ],
    dmi: { vendor: 'Fleet', product: 'Sled 1', serial: `S${index}` },
  };
}

/** Every kind of firmware on every kind of network boots to the agent: `npm run test:boot`. */

import { describe, expect, test } from 'vitest';
import { armPackages } from './arm-packages.ts';
import { buildRamdisk, Cell, NETWORKS } from './cell.ts';
import { FIRMWARE, type Firmware } from './firmware.ts';

const TO_THE_AGENT: readonly Firmware[] = [
  'BIOS',
  'BIOS by PXELINUX',
  'UEFI x86-64',
  'UEFI HTTP Boot',
  'Secure Boot',
  'UEFI arm64',
];

describe.each(NETWORKS)('network: %s', (network) => {
  test.each(TO_THE_AGENT)('%s', async (firmware) => {
    await prepare(firmware);
    await using cell = await Cell.open('boot-cell', network, firmware);
    const began = performance.now();
    const machine = await cell.machine(firmware);
    const seen = await cell.held(machine);
    console.log(`${firmware}, ${network}: ${seconds(began)} s`);
    const spec = FIRMWARE[firmware];
    expect(seen).toMatchObject({
      admission: 'held',
      uuid: spec.uuid,
      facts: {
        firmware: spec.firmware,
        arch: firmware === 'UEFI arm64' ? 'arm64' : 'x86_64',
        nics: [{ mac: spec.mac }],
      },
    });
    const address = network.startsWith('relay') ? '10\\.88\\.0\\.(5\\d|60)' : '10\\.77\\.0\\.1\\d\\d';
    expect(machine.console.text()).toMatch(
      new RegExp(`has ${address} on eth0 and reaches http://10\\.77\\.0\\.1:7077`),
    );
    if (firmware === 'BIOS by PXELINUX') {
      expect(machine.console.text()).toMatch(/Overdub: loading the ramdisk/);
      expect(cell.appliance.log()).toContain('PXELINUX asks for its configuration');
    }
    if (firmware === 'UEFI HTTP Boot') {
      expect(machine.console.text()).toMatch(/URI: http:\/\/10\.77\.0\.1:7077\/boot\/ipxe\/ipxe\.efi/);
    }
    if (firmware === 'Secure Boot') {
      expect(machine.console.text()).toMatch(/secureboot: Secure boot enabled/);
      expect(machine.console.text()).toMatch(/Kernel is locked down from EFI Secure Boot/);
    }
  });
});

async function prepare(firmware: Firmware): Promise<void> {
  const arm = firmware === 'UEFI arm64';
  buildRamdisk(arm ? 'arm64' : 'x86_64');
  if (arm) process.env.OVERDUB_ARM_PACKAGES = await armPackages();
}

function seconds(since: number): number {
  return Math.round((performance.now() - since) / 1000);
}

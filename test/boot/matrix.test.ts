/** Every kind of firmware on every kind of network boots to the agent: `npm run test:boot`. */

import { beforeAll, describe, expect, test } from 'vitest';
import { buildRamdisk, Cell, NETWORKS } from './cell.ts';
import { FIRMWARE, type Firmware } from './firmware.ts';

const TO_THE_AGENT: readonly Firmware[] = ['BIOS', 'UEFI x86-64', 'UEFI HTTP Boot', 'Secure Boot'];

beforeAll(buildRamdisk);

describe.each(NETWORKS)('network: %s', (network) => {
  test.each(TO_THE_AGENT)('%s', async (firmware) => {
    await using cell = await Cell.open('boot-cell', network, firmware);
    const began = performance.now();
    const machine = await cell.machine(firmware);
    const { seen, seconds } = await cell.held(machine, began);
    console.log(`${firmware}, ${network}: ${seconds} s`);
    const spec = FIRMWARE[firmware];
    expect(seen).toMatchObject({
      admission: 'held',
      uuid: spec.uuid,
      facts: { firmware: spec.firmware, nics: [{ mac: spec.mac }] },
    });
    const address = network.startsWith('relay') ? '10\\.88\\.0\\.(5\\d|60)' : '10\\.77\\.0\\.1\\d\\d';
    expect(machine.console.text()).toMatch(
      new RegExp(`has ${address} on eth0 and reaches http://10\\.77\\.0\\.1:7077`),
    );
    if (firmware === 'Secure Boot') {
      expect(machine.console.text()).toMatch(/secureboot: Secure boot enabled/);
      expect(machine.console.text()).toMatch(/Kernel is locked down from EFI Secure Boot/);
    }
  });
});

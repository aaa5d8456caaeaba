/** Firmware that boots by IPv6 alone: DHCPv6 names our loader, TFTP brings it, and it asks for its script. */

import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { DemoAppliance } from '../../examples/demo/appliance.ts';
import { createLab } from '../lab/index.ts';
import { buildRamdisk } from './cell.ts';
import { FIRMWARE } from './firmware.ts';

const BOOT_SECONDS = 600;

beforeAll(buildRamdisk);

test('UEFI x86-64 loads iPXE by TFTP over IPv6, and iPXE the kernel by HTTP over IPv6', async () => {
  await using lab = await createLab({ name: 'boot-ipv6', ipv6Prefix: 'fd77::/64' });
  const appliance = new DemoAppliance(lab, {
    config: join(import.meta.dirname, 'configs', 'ipv6.config.ts'),
  });
  await appliance.start();
  const machine = await lab.machine({ ...FIRMWARE['UEFI x86-64'], ipv6Boot: true });
  const began = performance.now();
  await machine.powerOn();
  const said = async (what: RegExp): Promise<void> => {
    await machine.waitForConsole(what, { signal: AbortSignal.timeout(BOOT_SECONDS * 1000) });
    console.log(`${what}: ${Math.round((performance.now() - began) / 1000)} s`);
  };
  await said(/PXE over IPv6/);
  await said(/iPXE initialising devices/);
  await said(/http:\/\/\[fd77::1\]:7077\/boot\/ipxe\/script/);
  await said(/Linux version/);
  expect(machine.console.text()).not.toMatch(/PXE over IPv4/);
});

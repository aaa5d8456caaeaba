/** One cell of the boot matrix that nothing else here covers: firmware that enforces signatures. `npm run test:boot` has all. */

import { beforeAll, expect, test } from 'vitest';
import { buildRamdisk, Cell } from '../boot/cell.ts';

beforeAll(buildRamdisk);

test('with Secure Boot enforced, shim, GRUB and kernel are accepted, and the machine is held', async () => {
  await using cell = await Cell.open('boot-secure', 'server', 'Secure Boot');
  const machine = await cell.machine('Secure Boot');
  expect(await cell.held(machine)).toMatchObject({ admission: 'held', labels: { loader: 'grub' } });
  expect(machine.console.text()).toMatch(/secureboot: Secure boot enabled/);
  expect(machine.console.text()).toMatch(/Kernel is locked down from EFI Secure Boot/);
});

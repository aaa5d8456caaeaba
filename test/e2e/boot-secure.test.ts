/** One cell of the boot matrix that nothing else here covers: firmware that enforces signatures. `npm run test:boot` has all. */

import { beforeAll, expect, test } from 'vitest';
import { buildRamdisk, Cell } from '../boot/cell.ts';
import { FIRMWARE } from '../boot/firmware.ts';

beforeAll(() => buildRamdisk());

test('with Secure Boot enforced, shim, GRUB and kernel are accepted, and the machine is held', async () => {
  await using cell = await Cell.open('boot-secure', 'server', 'Secure Boot');
  const machine = await cell.machine('Secure Boot');
  expect(await cell.held(machine)).toMatchObject({ admission: 'held', labels: { loader: 'grub' } });
  expect(machine.console.text()).toMatch(/secureboot: Secure boot enabled/);
  expect(machine.console.text()).toMatch(/Kernel is locked down from EFI Secure Boot/);
});

test('the same firmware fetches an unsigned loader, and refuses to run it', async () => {
  await using cell = await Cell.open('boot-unsigned', 'server', 'Secure Boot');
  // A MAC address that no label sends to GRUB: the appliance names iPXE, which nobody signed.
  const spec = { ...FIRMWARE['Secure Boot'], name: 'unsigned', mac: '52:54:00:77:04:0e' };
  const machine = await cell.lab.machine({ ...spec, uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e77040e' });
  await machine.powerOn();
  const signal = AbortSignal.timeout(600_000);
  await machine.waitForConsole(/NBP file downloaded successfully/, { signal });
  await machine.waitForConsole(/failed to load .*: Access Denied/, { signal });
  expect(machine.console.text()).not.toMatch(/iPXE [0-9]|iPXE initiali[sz]ing|Linux version/);
  const record = await cell.record(machine);
  expect(record).toMatchObject({ admission: 'held', labels: {} });
  expect(record?.facts).toBeUndefined();
});

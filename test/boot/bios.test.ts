/** What BIOS machines do besides booting straight to the agent: a menu, a disk, downloads that fail. */

import { beforeAll, describe, expect, test } from 'vitest';
import { buildRamdisk, Cell } from './cell.ts';
import { DISK_SPEAKS, putBootSector } from './disks.ts';
import type { Firmware } from './firmware.ts';

const STAGE_SECONDS = 600;

beforeAll(() => buildRamdisk());

/** Waits for each of these on its console, then for its agent. */
async function boots(cell: Cell, firmware: Firmware, stages: readonly RegExp[]) {
  const began = performance.now();
  const seconds = () => Math.round((performance.now() - began) / 1000);
  const machine = await cell.machine(firmware);
  for (const stage of stages) {
    await machine.waitForConsole(stage, { signal: AbortSignal.timeout(STAGE_SECONDS * 1000) });
    console.log(`${firmware}, ${stage}: ${seconds()} s`);
  }
  const record = await cell.held(machine);
  console.log(`${firmware}, held: ${seconds()} s`);
  expect(record).toMatchObject({ admission: 'held', uuid: machine.spec.uuid, facts: { firmware: 'bios' } });
  return machine;
}

/** How often the appliance was asked for what only this boot loader asks for. */
function asked(cell: Cell, line: string): number {
  return cell.appliance.log().split(line).length - 1;
}
const PXELINUX_ASKS = 'PXELINUX asks for its configuration';
const IPXE_ASKS = 'iPXE asks for its script';

describe('iPXE', () => {
  test('goes through the menu to what the appliance decided', async () => {
    await using cell = await Cell.open('boot-menu', 'server', 'BIOS', 'menu');
    const machine = await boots(cell, 'BIOS', [/Overdub: the ramdisk[\s\S]*The local disk/, /Linux version/]);
    expect(machine.console.text()).toMatch(/iPXE shell[\s\S]*Reboot/);
    expect(asked(cell, IPXE_ASKS)).toBe(1);
  });

  test('asks again where the disk does not start', async () => {
    await using cell = await Cell.open('boot-disk', 'server', 'BIOS', 'disk-first');
    await boots(cell, 'BIOS', [/the disk does not start; asking again in 30 seconds/, /Linux version/]);
    expect(asked(cell, IPXE_ASKS)).toBe(2);
  });
});

describe('PXELINUX', () => {
  const firmware = 'BIOS by PXELINUX';

  test('boots by TFTP alone', async () => {
    await using cell = await Cell.open('boot-tftp', 'server', firmware, 'pxelinux-tftp');
    const machine = await boots(cell, firmware, [/Overdub: loading the ramdisk/, /Linux version/]);
    expect(machine.console.text()).toMatch(/initrd=::pxelinux\/10\.77\.0\.1\/session\/01-/);
    expect(asked(cell, PXELINUX_ASKS)).toBe(1);
  });

  // By TFTP it is the same, but a transfer that breaks off takes PXELINUX seven minutes.
  test('starts over until all has come by HTTP', async () => {
    await using cell = await Cell.open('boot-broken', 'server', firmware, 'broken-loads');
    await boots(cell, firmware, []);
    expect(asked(cell, PXELINUX_ASKS)).toBe(4);
  });
});

test.each([
  ['iPXE', 'BIOS', IPXE_ASKS],
  ['PXELINUX', 'BIOS by PXELINUX', PXELINUX_ASKS],
] as const)('a disk that %s is to start is started', async (_, firmware, line) => {
  await using cell = await Cell.open('boot-disk', 'server', firmware, 'disk-first');
  const began = performance.now();
  const machine = await cell.machine(firmware, putBootSector);
  await machine.waitForConsole(new RegExp(DISK_SPEAKS), {
    signal: AbortSignal.timeout(STAGE_SECONDS * 1000),
  });
  console.log(`${firmware}, ${DISK_SPEAKS}: ${Math.round((performance.now() - began) / 1000)} s`);
  expect(asked(cell, line)).toBe(1);
});

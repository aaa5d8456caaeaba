/** Machines that boot by IPv6 alone: DHCPv6 names our files, TFTP or HTTP brings them, and the agent says hello. */

import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { DemoAppliance } from '../../examples/demo/appliance.ts';
import { createLab, type DnsmasqSpec, type Lab, type LabMachine, type LabOptions } from '../lab/index.ts';
import { buildRamdisk } from './cell.ts';
import { FIRMWARE } from './firmware.ts';
import { heldRecord, type Room, recordWith } from './records.ts';

const STAGE_SECONDS = 600;
const PREFIX = 'fd77::/64';
const IPXE = /iPXE initialising devices/;
const SCRIPT = /http:\/\/\[fd77::1\]:7077\/boot\/ipxe\/script\S* ?\.\.\. ok/;

/** The DHCPv6 server has iPXE's script named by whom iPXE takes its address from (docs/netboot.md). */
const DNSMASQ: DnsmasqSpec = {
  address: '10.77.0.2/24',
  ipv6: { address: 'fd77::2/64', range: ['fd77::200', 'fd77::2ff'] },
  options: [
    '--dhcp-userclass=set:ipxe,iPXE',
    `--dhcp-option=tag:ipxe,option6:bootfile-url,http://[fd77::1]:7077/boot/ipxe/script?mac=\${netX/mac}&arch=\${platform}`,
  ],
};

beforeAll(() => buildRamdisk());

async function withRoom(
  ipv6: NonNullable<LabOptions['ipv6']>['addresses'],
  config: 'ipv6-server' | 'ipv6-guest',
  work: (room: Room) => Promise<void>,
): Promise<void> {
  await using lab = await createLab({ name: 'boot-ipv6', ipv6: { prefix: PREFIX, addresses: ipv6 } });
  const file = join(import.meta.dirname, 'configs', `${config}.config.ts`);
  const appliance = new DemoAppliance(lab, { config: file });
  await appliance.start();
  await work({ lab, appliance });
}

/** Switches it on and waits for each of these on its console, then for its record. */
async function boots(room: Room, machine: LabMachine, stages: readonly RegExp[]) {
  const began = performance.now();
  const seconds = () => Math.round((performance.now() - began) / 1000);
  await machine.powerOn();
  for (const stage of stages) {
    await machine.waitForConsole(stage, { signal: AbortSignal.timeout(STAGE_SECONDS * 1000) });
    console.log(`${machine.name}, ${stage}: ${seconds()} s`);
  }
  const record = await heldRecord(room, machine);
  console.log(`${machine.name}, held: ${seconds()} s`);
  const { uuid, mac } = machine.spec;
  expect(record).toMatchObject({ admission: 'held', uuid, facts: { nics: [{ mac }] } });
  return record;
}

const reaches = (address: string) =>
  new RegExp(`has ${address} on eth0 and reaches http://\\[fd77::1\\]:7077`);

const PXE = [/>>Start PXE over IPv6/, /NBP filename is ipxe\/ipxe\.efi/, IPXE, SCRIPT];

test('UEFI by PXE, where we lease addresses; its agent hears the switch at the other end', () =>
  withRoom('dhcp', 'ipv6-server', async (room) => {
    const machine = await room.lab.machine({ ...FIRMWARE['UEFI x86-64'], ipv6Boot: true });
    const record = await boots(room, machine, [...PXE, reaches('fd77::1[0-9a-f]{2}')]);
    expect(record.seenOn).toMatch(/^fd77::1[0-9a-f]{2}$/);
    expect(machine.console.text()).not.toMatch(/PXE over IPv4/);
    await switchSpeaks(room.lab);
    const { facts } = await recordWith(
      room,
      machine,
      ({ facts: now }) => now?.nics[0]?.neighbour !== undefined,
    );
    expect(facts?.nics[0]?.neighbour).toMatchObject({
      systemName: 'rack3-sw1',
      portId: 'Gi1/0/7',
      portDescription: 'rack3-07',
    });
  }));

/** lldpd on our end of the cable of the lab's first machine: bridges keep LLDP to themselves. */
async function switchSpeaks(lab: Lab): Promise<void> {
  const socket = join(lab.dir, 'lldpd.sock');
  const lldpd = await lab.start('switch', ['lldpd', '-d', '-I', 'tap0', '-u', socket]);
  const cli = (words: string) => lab.exec(['sh', '-c', `exec lldpcli -u "$0" ${words} < /dev/null`, socket]);
  await cli('configure system hostname rack3-sw1');
  await cli('configure ports tap0 lldp portidsubtype local Gi1/0/7 description rack3-07');
  await cli('update');
  expect(lldpd.running).toBe(true);
}

test('Secure Boot, where we lease addresses: shim, GRUB and the ramdisk by TFTP', () =>
  withRoom('dhcp', 'ipv6-server', async (room) => {
    const machine = await room.lab.machine({ ...FIRMWARE['Secure Boot'], ipv6Boot: true });
    await boots(room, machine, [
      />>Start PXE over IPv6/,
      /NBP filename is grub\/shimx64\.efi/,
      /Overdub: loading the ramdisk/,
      /Kernel is locked down from EFI Secure Boot/,
      reaches('fd77::1[0-9a-f]{2}'),
    ]);
  }));

const HTTP_BOOT = [
  />>Start HTTP Boot over IPv6/,
  /URI: http:\/\/\[fd77::1\]:7077\/boot\/ipxe\/ipxe\.efi/,
  IPXE,
  SCRIPT,
];

test('UEFI by HTTP Boot, where we lease addresses', () =>
  withRoom('dhcp', 'ipv6-server', async (room) => {
    const machine = await room.lab.machine(FIRMWARE['UEFI HTTP Boot']);
    await boots(room, machine, [...HTTP_BOOT, reaches('fd77::1[0-9a-f]{2}')]);
  }));

test('UEFI by HTTP Boot, beside dnsmasq as the DHCPv6 server', () =>
  withRoom('dhcp', 'ipv6-guest', async (room) => {
    await room.lab.dnsmasq(DNSMASQ);
    const machine = await room.lab.machine(FIRMWARE['UEFI HTTP Boot']);
    await boots(room, machine, [...HTTP_BOOT, reaches('fd77::2[0-9a-f]{2}')]);
  }));

/** Its console is iPXE's own screen until the kernel has it. */
test('iPXE on a BIOS machine, where the router gives out addresses', () =>
  withRoom('router', 'ipv6-guest', async (room) => {
    const machine = await room.lab.machine(FIRMWARE.BIOS);
    await boots(room, machine, [/Linux version/, reaches('fd77::5054:ff:fe77:401')]);
  }));

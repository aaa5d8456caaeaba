/** Naked machines of both firmware kinds netboot from a real appliance, report what they are, and are held. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from '@overdub/core';
import { beforeAll, describe, expect, test } from 'vitest';
import { DemoAppliance, OVERDUB } from '../../examples/demo/appliance.ts';
import { OverdubCommand } from '../../examples/demo/overdub.ts';
import { createLab, type Lab, type LabMachine, type MachineSpec } from '../lab/index.ts';

const limit = (seconds: number) => AbortSignal.timeout(seconds * 1000);
/** Power-on to a held machine takes 45 s (BIOS) or 60 s (UEFI) on two idle cores in software emulation. */
const BOOT_SECONDS = 300;

const BIOS: MachineSpec = {
  name: 'bios',
  mac: '52:54:00:77:02:01',
  uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770201',
  firmware: 'bios',
  disk: { kind: 'sata', bytes: 3e9, serial: 'SATA-1' },
};
const UEFI: MachineSpec = {
  name: 'uefi',
  mac: '52:54:00:77:02:02',
  uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770202',
  firmware: 'uefi',
  disk: { kind: 'nvme', bytes: 4e9, serial: 'NVME-1' },
};

beforeAll(() => {
  const built = spawnSync(OVERDUB, ['ramdisk', 'build']);
  if (built.status !== 0) throw new Error(built.stderr.toString());
});

function command(lab: Lab, appliance: DemoAppliance): OverdubCommand {
  return new OverdubCommand(
    (line, options) => lab.exec(line, options),
    OVERDUB,
    appliance.url,
    appliance.token,
  );
}

/** Switches it on and waits until the appliance has its agent's facts. */
async function sightingOf(overdub: OverdubCommand, machine: LabMachine): Promise<Machine> {
  await machine.powerOn();
  await machine.waitForConsole(/overdub: .*held: waiting for an administrator/, {
    signal: limit(BOOT_SECONDS),
  });
  const signal = limit(120);
  for (;;) {
    const machines = await overdub.quiet<Machine[]>('machine', 'list');
    const seen = machines.find(({ macs }) => macs.includes(machine.mac));
    if (seen?.facts !== undefined) return seen;
    if (signal.aborted) throw new Error(`no facts came; on its console:\n${machine.console.tail()}`);
    await sleep(1000);
  }
}

function expectFacts(seen: Machine, spec: MachineSpec): void {
  expect(seen).toMatchObject({
    admission: 'held',
    uuid: spec.uuid,
    facts: {
      uuid: spec.uuid,
      firmware: spec.firmware,
      arch: 'x86_64',
      cpu: { cores: 2 },
      disks: [
        { serial: spec.disk?.serial, transport: spec.disk?.kind, bytes: spec.disk?.bytes, sectorBytes: 512 },
      ],
      nics: [{ mac: spec.mac, driver: 'virtio_net', link: true }],
    },
  });
}

describe('an appliance that is the DHCP server of an isolated network', () => {
  test('BIOS and UEFI machines come up held, with their facts', async () => {
    await using lab = await createLab({ name: 'boot-server' });
    const appliance = new DemoAppliance(lab);
    await appliance.start();
    const overdub = command(lab, appliance);
    for (const spec of [BIOS, UEFI]) {
      const machine = await lab.machine(spec);
      expectFacts(await sightingOf(overdub, machine), spec);
      await machine.powerOff();
    }
  });
});

describe('an appliance beside the network’s own DHCP server', () => {
  test('BIOS and UEFI machines get their address there and their boot here', async () => {
    await using lab = await createLab({ name: 'boot-proxy' });
    const dhcp = await lab.dnsmasq({ address: '10.77.0.2/24', range: ['10.77.0.60', '10.77.0.69'] });
    const config = join(import.meta.dirname, 'configs', 'proxy.config.ts');
    const appliance = new DemoAppliance(lab, { config });
    await appliance.start();
    const overdub = command(lab, appliance);
    for (const spec of [BIOS, UEFI]) {
      const machine = await lab.machine(spec);
      expectFacts(await sightingOf(overdub, machine), spec);
      expect(machine.console.text()).toMatch(
        /has 10\.77\.0\.6\d on eth0 and reaches http:\/\/10\.77\.0\.1:7077/,
      );
      await machine.powerOff();
    }
    expect(dhcp.output()).toContain('DHCPACK');
  });
});

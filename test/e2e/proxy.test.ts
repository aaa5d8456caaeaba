/**
 * Beside the network's own DHCP server: a machine becomes a server, under an appliance whose only codec is
 * this test's own.
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Machine, Operation, Server } from '@overdub/core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DemoAppliance, OVERDUB } from '../../examples/demo/appliance.ts';
import { MACHINES, MASTER, SERVER } from '../../examples/demo/cast.ts';
import { Guest } from '../../examples/demo/guest.ts';
import { buildDemoMaster, DEMO_HOOKS, demoCacheDirectory } from '../../examples/demo/master.ts';
import { OverdubCommand } from '../../examples/demo/overdub.ts';
import { createLab, type Lab, type LabMachine, type LabProcess } from '../lab/index.ts';

const CONFIG = join(import.meta.dirname, 'own-codec', 'overdub.config.ts');
const ADDRESS = '10.77.0.60';
/** Power-on to a held machine takes 45 s on two idle cores in software emulation. */
const BOOT_SECONDS = 600;

const limit = (seconds: number) => AbortSignal.timeout(seconds * 1000);

let lab: Lab;
let dhcp: LabProcess;
let appliance: DemoAppliance;
let overdub: OverdubCommand;
let guest: Guest;
let machine: LabMachine;
let masterTar: string;
let failed = false;

beforeAll(async () => {
  const built = spawnSync(OVERDUB, ['ramdisk', 'build', '--json']);
  if (built.status !== 0) throw new Error(built.stderr.toString());
  const master = await buildDemoMaster(demoCacheDirectory(), DEMO_HOOKS, console.log);
  masterTar = master.tar;
  lab = await createLab({ name: 'proxy' });
  const spec = { ...MACHINES[0], firmware: 'bios' } as const;
  dhcp = await lab.dnsmasq({
    address: '10.77.0.2/24',
    range: ['10.77.0.100', '10.77.0.150'],
    options: [`--dhcp-host=${spec.mac},${ADDRESS}`],
  });
  appliance = new DemoAppliance(lab, { config: CONFIG });
  await appliance.start();
  const exec: Lab['exec'] = (command, options) => lab.exec(command, options);
  overdub = new OverdubCommand(exec, OVERDUB, appliance.url, appliance.token);
  guest = new Guest(exec, master.sshKey, ADDRESS);
  machine = await lab.machine(spec);
});

afterAll(() => lab?.[Symbol.asyncDispose]());

beforeEach((context) => {
  context.skip(failed, 'an earlier part of the story failed');
});

afterEach(({ task }) => {
  if (task.result?.state !== 'fail') return;
  failed = true;
  console.error(`the machine's console:\n${machine.console.tail()}`);
  console.error(`the appliance:\n${appliance.log().split('\n').slice(-40).join('\n')}`);
});

describe('beside a DHCP server, with a codec of its own', () => {
  test('a naked machine has its address from there, its boot from here, and is held', async () => {
    await machine.powerOn();
    await machine.waitForConsole(/overdub: .*held: waiting for an administrator/, {
      signal: limit(BOOT_SECONDS),
    });
    const seen = await guest.eventually('its facts', reported);
    expect(seen).toMatchObject({ admission: 'held', facts: { firmware: 'bios' } });
    expect(machine.console.text()).toContain(`has ${ADDRESS} on eth0 and reaches ${appliance.url}`);
    expect(dhcp.output()).toMatch(new RegExp(`DHCPACK\\(eth0\\) ${ADDRESS} ${machine.mac}`));
    await overdub.quiet('machine', 'rename', machine.mac, machine.name);
  });

  test('accepted and assigned, it becomes a server that boots from its own disk', async () => {
    const imported = await overdub.quiet<Operation>('master', 'import', MASTER, masterTar);
    expect(imported).toMatchObject({ state: 'done' });
    await overdub.quiet('machine', 'accept', machine.name);
    await overdub.quiet('server', 'create', SERVER, '--master', MASTER);
    const assigned = await overdub.quiet<Operation>('server', 'assign', SERVER, machine.name);
    expect(assigned).toMatchObject({ state: 'done' });
    expect(await guest.eventually('nginx', () => guest.page())).toContain('It works');
    await guest.eventually('ssh', () => guest.sh('true'));
    expect(await guest.sh('findmnt -no SOURCE /')).toMatch(/^\/dev\/vda/);
    expect(await guest.sh('hostname')).toBe(SERVER);
    expect(await overdub.quiet<Server>('server', 'show', SERVER)).toMatchObject({ state: 'running' });
  });
});

async function reported(): Promise<Machine> {
  const machines = await overdub.quiet<Machine[]>('machine', 'list');
  const seen = machines.find(({ macs }) => macs.includes(machine.mac));
  if (seen?.facts === undefined) throw new Error(`${machine.mac} has not reported yet`);
  return seen;
}

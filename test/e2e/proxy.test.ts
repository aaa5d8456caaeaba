/**
 * Beside the network's own DHCP server: a machine becomes a server, makes its deltas with a codec that only this
 * test has, and boots without the appliance.
 */

import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Machine, Operation, Server, Snapshot } from '@overdub/core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DemoAppliance, OVERDUB } from '../../examples/demo/appliance.ts';
import { MACHINES, MASTER, SERVER } from '../../examples/demo/cast.ts';
import { Guest } from '../../examples/demo/guest.ts';
import { buildDemoMaster, DEMO_HOOKS, demoCacheDirectory } from '../../examples/demo/master.ts';
import { OverdubCommand } from '../../examples/demo/overdub.ts';
import { createLab, type Lab, type LabMachine, type LabProcess } from '../lab/index.ts';
import type { AppliedDelta } from './own-codec/codec.ts';
import { APPLIED_FILE } from './own-codec/index.ts';

const CONFIG = join(import.meta.dirname, 'own-codec', 'overdub.config.ts');
const ADDRESS = '10.77.0.60';
/** Power-on to a held machine takes 45 s on two idle cores in software emulation. */
const BOOT_SECONDS = 600;
const LARGE_FILE = 'srv/large.bin';
const LARGE_BYTES = 3 * 1024 * 1024;
const PAGE_BYTES = 4096;
const CHANGED_PAGES = [20, 300, 700];

interface Ramdisk {
  readonly digest: string;
}

const limit = (seconds: number) => AbortSignal.timeout(seconds * 1000);

let lab: Lab;
let dhcp: LabProcess;
let appliance: DemoAppliance;
let overdub: OverdubCommand;
let guest: Guest;
let machine: LabMachine;
let masterTar: string;
let ramdisk: Ramdisk;
let failed = false;

beforeAll(async () => {
  // Before anything has heard of the codec.
  const built = spawnSync(OVERDUB, ['ramdisk', 'build', '--json']);
  if (built.status !== 0) throw new Error(built.stderr.toString());
  ramdisk = shownRamdisk();
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

  test('what changes in a large file travels as a delta of that codec, made on the machine', async () => {
    await guest.sh(`head -c ${LARGE_BYTES} /dev/urandom > /${LARGE_FILE}`);
    await takeSnapshot();
    const before = (await applied()).length;
    for (const page of CHANGED_PAGES) {
      await guest.sh(
        `dd if=/dev/urandom of=/${LARGE_FILE} bs=${PAGE_BYTES} seek=${page} count=1 conv=notrunc status=none`,
      );
    }
    const sum = await guest.sh(`sha256sum < /${LARGE_FILE}`);
    const snapshot = await takeSnapshot();
    const deltas = (await applied()).slice(before);
    expect(new Set(deltas.map((delta) => delta.madeOn))).toEqual(new Set([SERVER]));
    const small = deltas.filter(
      ({ targetBytes, deltaBytes }) => targetBytes > 16 * PAGE_BYTES && deltaBytes < 4 * PAGE_BYTES,
    );
    expect(small, JSON.stringify(deltas)).not.toEqual([]);
    expect(await restoredSum(snapshot, LARGE_FILE)).toBe(sum);
    expect(shownRamdisk()).toEqual(ramdisk);
  });

  test('with the appliance switched off, it boots from its own disk all the same', async () => {
    await guest.sh('echo still-here > /var/www/html/index.html && sync');
    await appliance.stop();
    await machine.powerOff();
    await machine.powerOn();
    const page = await guest.eventually('nginx', () => guest.page(), BOOT_SECONDS * 1000);
    expect(page.trim()).toBe('still-here');
  });
});

async function reported(): Promise<Machine> {
  const machines = await overdub.quiet<Machine[]>('machine', 'list');
  const seen = machines.find(({ macs }) => macs.includes(machine.mac));
  if (seen?.facts === undefined) throw new Error(`${machine.mac} has not reported yet`);
  return seen;
}

async function takeSnapshot(): Promise<Snapshot> {
  const operation = await overdub.quiet<Operation>('snapshot', 'take', SERVER);
  expect(operation).toMatchObject({ state: 'done' });
  const newest = (await overdub.quiet<Snapshot[]>('snapshot', 'list', SERVER)).at(-1);
  if (newest === undefined) throw new Error('there is no snapshot');
  return newest;
}

/** What the appliance's half of the codec has applied so far. */
async function applied(): Promise<AppliedDelta[]> {
  const file = join(lab.dir, 'state', 'plugins', 'own-codec', APPLIED_FILE);
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as AppliedDelta);
}

/** As `sha256sum` prints it, of a file of the snapshot as the appliance gives it out. */
async function restoredSum(snapshot: Snapshot, path: string): Promise<string> {
  const copy = join(lab.dir, 'restored');
  await overdub.text('restore-file', `${SERVER}@${snapshot.id}`, `/${path}`, copy);
  return (await lab.exec(['sh', '-c', `sha256sum < ${copy}`])).trim();
}

function shownRamdisk(): Ramdisk {
  const shown = spawnSync(OVERDUB, ['ramdisk', 'show', '--json'], { maxBuffer: 16 * 1024 * 1024 });
  if (shown.status !== 0) throw new Error(shown.stderr.toString());
  const { digest } = JSON.parse(shown.stdout.toString()) as Ramdisk;
  return { digest };
}

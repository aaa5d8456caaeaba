/**
 * Beside the network's own DHCP server: a BIOS and a UEFI machine become servers, one of them makes its deltas with
 * a codec that only this test has and goes back in time, and both boot without the appliance.
 */

import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Machine, Operation, Server, Snapshot } from '@overdub/core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DemoAppliance, OVERDUB } from '../../examples/demo/appliance.ts';
import { MASTER } from '../../examples/demo/cast.ts';
import { Guest } from '../../examples/demo/guest.ts';
import {
  buildDemoMaster,
  DEMO_HOOKS,
  type DemoMasterOptions,
  demoCacheDirectory,
} from '../../examples/demo/master.ts';
import { OverdubCommand } from '../../examples/demo/overdub.ts';
import { createLab, type Lab, type LabMachine, type LabProcess, type MachineSpec } from '../lab/index.ts';
import type { AppliedDelta } from './own-codec/codec.ts';
import { APPLIED_FILE } from './own-codec/index.ts';

const CONFIG = join(import.meta.dirname, 'own-codec', 'overdub.config.ts');
/** Power-on to a held machine takes a minute on two idle cores in software emulation. */
const BOOT_SECONDS = 900;
const SERVER = 'web-1';
const LARGE_FILE = 'srv/large.bin';
const LARGE_BYTES = 3 * 1024 * 1024;
const PAGE_BYTES = 4096;
const CHANGED_PAGES = [20, 300, 700];

/** The demo's master has a kernel for virtual machines, without a driver for SATA. */
const ANY_HARDWARE = 'any-hardware';

const SPECS = [
  {
    name: 'bios',
    master: ANY_HARDWARE,
    mac: '52:54:00:77:03:01',
    uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770301',
    firmware: 'bios',
    disk: { kind: 'sata', bytes: 5e9, serial: 'SATA-7' },
  },
  {
    name: 'uefi',
    master: MASTER,
    mac: '52:54:00:77:03:02',
    uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770302',
    firmware: 'uefi',
    disk: { kind: 'scsi', bytes: 6e9, serial: 'SCSI-7' },
  },
] as const satisfies readonly (MachineSpec & { readonly master: string })[];

/** One machine with the server it becomes. */
interface Player {
  readonly server: string;
  readonly address: string;
  readonly spec: (typeof SPECS)[number];
  readonly machine: LabMachine;
  readonly guest: Guest;
}

interface Ramdisk {
  readonly digest: string;
}

const limit = (seconds: number) => AbortSignal.timeout(seconds * 1000);

let lab: Lab;
let dhcp: LabProcess;
let appliance: DemoAppliance;
let overdub: OverdubCommand;
let players: readonly Player[];
/** Of the first player. */
let guest: Guest;
/** Tar of each master by name: the demo's, and the same with a kernel for any hardware. */
let masters: ReadonlyMap<string, string>;
let ramdisk: Ramdisk;
let failed = false;

beforeAll(async () => {
  // Before anything has heard of the codec.
  const built = spawnSync(OVERDUB, ['ramdisk', 'build', '--json']);
  if (built.status !== 0) throw new Error(built.stderr.toString());
  ramdisk = shownRamdisk();
  const build = (options: DemoMasterOptions) =>
    buildDemoMaster(demoCacheDirectory(), DEMO_HOOKS, console.log, options);
  const master = await build({});
  const { tar: anyHardware } = await build({ kernel: 'linux-image-amd64' });
  masters = new Map([
    [MASTER, master.tar],
    [ANY_HARDWARE, anyHardware],
  ]);
  lab = await createLab({ name: 'proxy' });
  const addressOf = (index: number) => `10.77.0.${60 + index}`;
  dhcp = await lab.dnsmasq({
    address: '10.77.0.2/24',
    range: ['10.77.0.100', '10.77.0.150'],
    options: SPECS.map((spec, index) => `--dhcp-host=${spec.mac},${addressOf(index)}`),
  });
  appliance = new DemoAppliance(lab, { config: CONFIG });
  await appliance.start();
  const exec: Lab['exec'] = (command, options) => lab.exec(command, options);
  overdub = new OverdubCommand(exec, OVERDUB, appliance.url, appliance.token);
  players = await Promise.all(
    SPECS.map(async (spec, index) => ({
      server: `web-${index + 1}`,
      address: addressOf(index),
      spec,
      machine: await lab.machine(spec),
      guest: new Guest({
        exec,
        sshKey: master.sshKey,
        address: addressOf(index),
        control: join(lab.dir, `ssh-${index}`),
      }),
    })),
  );
  guest = (players[0] as Player).guest;
});

afterAll(() => lab?.[Symbol.asyncDispose]());

beforeEach((context) => {
  context.skip(failed, 'an earlier part of the story failed');
});

afterEach(({ task }) => {
  if (task.result?.state !== 'fail') return;
  failed = true;
  for (const { machine } of players) {
    console.error(`the console of ${machine.name}:\n${machine.console.tail()}`);
  }
  console.error(`the appliance:\n${appliance.log().split('\n').slice(-40).join('\n')}`);
});

describe('beside a DHCP server, with a codec of its own', () => {
  test('naked machines have their address from there, their boot from here, and are held', async () => {
    for (const { machine } of players) await machine.powerOn();
    for (const { machine, address, spec } of players) {
      await machine.waitForConsole(/overdub: .*held: waiting for an administrator/, {
        signal: limit(BOOT_SECONDS),
      });
      const seen = await guest.eventually('its facts', () => reported(machine));
      expect(seen).toMatchObject({ admission: 'held', facts: { firmware: spec.firmware } });
      expect(machine.console.text()).toContain(`has ${address} on eth0 and reaches ${appliance.url}`);
      expect(dhcp.output()).toMatch(new RegExp(`DHCPACK\\(eth0\\) ${address} ${machine.mac}`));
      await overdub.quiet('machine', 'rename', machine.mac, machine.name);
    }
  });

  test('a master whose kernel has no driver for the machine’s disk is refused before anything is written', async () => {
    for (const [name, tar] of masters) {
      const imported = await overdub.quiet<Operation>('master', 'import', name, tar);
      expect(imported).toMatchObject({ state: 'done' });
    }
    const { machine } = players[0] as Player;
    await overdub.quiet('machine', 'accept', machine.name);
    await overdub.quiet('server', 'create', 'nowhere', '--master', MASTER);
    await expect(overdub.quiet('server', 'assign', 'nowhere', machine.name)).rejects.toThrow(
      /MASTER_UNBOOTABLE.*no driver for any disk of bios: sda \(ahci\)/,
    );
    await overdub.quiet('server', 'remove', 'nowhere');
  });

  test('accepted and assigned, they become servers that boot from their own disks', async () => {
    await Promise.all(players.map(becomesServer));
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

  test('back in time, into the ramdisk by kexec: what changed since is undone', async () => {
    const { machine } = players[0] as Player;
    await guest.sh('echo owned > /var/www/html/index.html');
    const [good] = (await overdub.quiet<Snapshot[]>('snapshot', 'list', SERVER)).slice(-1);
    const operation = await overdub.quiet<Operation>('rollback', SERVER, '--to', good?.id ?? '');
    expect(operation).toMatchObject({ state: 'done' });
    expect(machine.console.text()).toContain('kexec_core: Starting new kernel');
    await guest.eventually('ssh', () => guest.connect());
    expect(await guest.eventually('nginx', () => guest.page())).toContain('It works');
    const snapshots = await overdub.quiet<Snapshot[]>('snapshot', 'list', SERVER);
    expect(snapshots.at(-1)).toMatchObject({ reason: 'safety', suspect: true, pinned: true });
  });

  test('with the appliance switched off, both boot from their own disks all the same', async () => {
    for (const { server, guest } of players) {
      await guest.sh(`echo ${server} is still here > /var/www/html/index.html && sync`);
    }
    await appliance.stop();
    for (const { machine } of players) await machine.powerOff();
    for (const { machine } of players) await machine.powerOn();
    for (const { server, guest } of players) {
      const page = await guest.eventually('nginx', () => guest.page(), BOOT_SECONDS * 1000);
      expect(page.trim()).toBe(`${server} is still here`);
    }
  });
});

async function becomesServer({ server, machine, guest, spec }: Player): Promise<void> {
  await overdub.quiet('machine', 'accept', machine.name);
  await overdub.quiet('server', 'create', server, '--master', spec.master);
  const assigned = await overdub.quiet<Operation>('server', 'assign', server, machine.name);
  // A WWN where the disk has one; QEMU's holds the serial number.
  const diskPin = expect.stringContaining(spec.disk.serial);
  expect(assigned).toMatchObject({ state: 'done', result: { diskPin } });
  expect(await guest.eventually('nginx', () => guest.page())).toContain('It works');
  await guest.eventually('ssh', () => guest.connect());
  expect(await guest.sh('findmnt -no SOURCE /')).toMatch(/^\/dev\/sda/);
  expect(await guest.sh('test -d /sys/firmware/efi && echo uefi || echo bios')).toBe(spec.firmware);
  expect(await guest.sh('hostname')).toBe(server);
  expect(await overdub.quiet<Server>('server', 'show', server)).toMatchObject({ state: 'running' });
}

async function reported(machine: LabMachine): Promise<Machine> {
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
  const shown = spawnSync(OVERDUB, ['ramdisk', 'show', '--arch', 'x86_64', '--json'], {
    maxBuffer: 16 * 1024 * 1024,
  });
  if (shown.status !== 0) throw new Error(shown.stderr.toString());
  const { digest } = JSON.parse(shown.stdout.toString()) as Ramdisk;
  return { digest };
}

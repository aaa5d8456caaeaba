/** The ramdisk on emulated hardware, netbooted by dnsmasq and Debian's iPXE; a stand-in plays the agent. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildRamdisk, buildRamdisk } from '../../plugins/agent/ramdisk/build.ts';
import { defaultRamdiskCacheDir } from '../../plugins/agent/ramdisk/commands.ts';
import { sessionCpio } from '../../plugins/agent/ramdisk/session.ts';
import { foreignBoot } from '../lab/foreign-boot.ts';
import { createLab, type Lab, type MachineSpec } from '../lab/index.ts';

/** Tells what it sees, tries the tools, and ends with a failure, so that it is started again. */
const STAND_IN = `
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statfsSync } from 'node:fs';
const run = (...command) => {
  const { status, stdout, stderr } = spawnSync(command[0], command.slice(1));
  return { status, said: String(stdout) + String(stderr) };
};
const meminfo = readFileSync('/proc/meminfo', 'utf8');
const tools = [['sfdisk', '--version'], ['mkfs.vfat', '--help'], ['mkfs.ext4', '-V'], ['e2fsck', '-V'], ['grub-install', '--version'],
  ['grub-mkimage', '--version'], ['blkid', '-V'], ['wipefs', '-V'], ['mount', '-V'], ['efibootmgr', '-V'], ['partx', '-V']];
const mounts = ['xfs', 'btrfs', 'ext4', 'vfat'].map((type) => {
  const made = run('mkfs.' + type, ...{ xfs: ['-f'], btrfs: ['-f'], ext4: ['-F', '-q'], vfat: ['-I'] }[type], '/dev/vda');
  const mounted = run('mount', '-t', type, '/dev/vda', '/mnt');
  const unmounted = run('umount', '/mnt');
  return [type, [made, mounted, unmounted].every(({ status }) => status === 0) ? 'ok' : JSON.stringify([made, mounted, unmounted])];
});
console.log('FACTS ' + JSON.stringify({
  node: process.version,
  session: JSON.parse(readFileSync('/overdub/session.json', 'utf8')),
  availableMiB: Math.round(Number(/MemAvailable: +(\\d+)/.exec(meminfo)[1]) / 1024),
  disks: readdirSync('/sys/block').filter((name) => !/^(loop|ram|sr|fd)/.test(name)).sort(),
  nics: readdirSync('/sys/class/net').filter((name) => name !== 'lo').length,
  efi: existsSync('/sys/firmware/efi/efivars') && readdirSync('/sys/firmware/efi/efivars').length > 0,
  hostname: readFileSync('/proc/sys/kernel/hostname', 'utf8').trim(),
  missing: tools.filter((command) => run(...command).said === '').map(([name]) => name),
  mounts: Object.fromEntries(mounts),
}) + ' END');
process.exit(7);
`;

interface Facts {
  readonly node: string;
  readonly session: { readonly url: string; readonly nonce: string };
  readonly availableMiB: number;
  readonly disks: readonly string[];
  readonly nics: number;
  readonly efi: boolean;
  readonly hostname: string;
  readonly missing: readonly string[];
  readonly mounts: Readonly<Record<string, string>>;
}

const limit = (seconds: number) => AbortSignal.timeout(seconds * 1000);
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
let work: string;
let request: BuildRamdisk;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'overdub-ramdisk-'));
  const loader = join(work, 'loader.mjs');
  await writeFile(loader, STAND_IN);
  request = {
    outDir: join(work, 'out'),
    cacheDir: defaultRamdiskCacheDir(),
    arch: 'x86_64',
    loader,
    log: quiet,
    signal: limit(900),
  };
});
afterAll(() => rm(work, { recursive: true, force: true }));

async function bootedFacts(lab: Lab, spec: MachineSpec) {
  const machine = await lab.machine(spec);
  const boot = await foreignBoot(lab, {
    vmlinuz: join(request.outDir, 'vmlinuz'),
    initrd: join(request.outDir, 'initrd'),
    session: sessionCpio({ url: `http://${lab.address}:7077`, nonce: 'nonce-1' }),
  });
  const http = await boot.startHttp();
  await machine.powerOn();
  return { machine, boot, http };
}

describe('ramdisk', () => {
  test('is built once, under 120 MB, the same again from scratch', async () => {
    const first = await buildRamdisk(request);
    const total = first.files.vmlinuz.bytes + first.files.initrd.bytes;
    expect(total).toBeLessThan(120e6);
    expect(first.packages.map(({ name }) => name)).toContain('grub-efi-amd64-bin');
    const began = performance.now();
    expect(await buildRamdisk(request)).toEqual(first);
    expect(performance.now() - began).toBeLessThan(30_000);
    const again = await buildRamdisk({ ...request, outDir: join(work, 'again') });
    expect(again).toEqual(first);
  });

  test('BIOS: every kind of disk, two NICs, 1 GiB; a failing agent is started again', async () => {
    await using lab = await createLab({ name: 'ramdisk-bios' });
    const { machine } = await bootedFacts(lab, {
      name: 'm1',
      mac: '52:54:00:77:01:01',
      otherMacs: ['52:54:00:77:01:02'],
      uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770101',
      firmware: 'bios',
      disk: { kind: 'virtio', bytes: 600e6, serial: 'V1' },
      otherDisks: [
        { kind: 'sata', bytes: 64e6, serial: 'A1' },
        { kind: 'nvme', bytes: 64e6, serial: 'N1' },
        { kind: 'scsi', bytes: 64e6, serial: 'S1' },
      ],
    });
    const [, json = ''] = await machine.waitForConsole(/FACTS (.*) END/, { signal: limit(240) });
    const facts = JSON.parse(json) as Facts;
    expect(facts).toMatchObject({
      session: { url: 'http://10.77.0.1:7077', nonce: 'nonce-1' },
      disks: ['nvme0n1', 'sda', 'sdb', 'vda'],
      nics: 2,
      efi: false,
      hostname: expect.stringMatching(/^machine-77010[12]$/),
      missing: [],
      mounts: { xfs: 'ok', btrfs: 'ok', ext4: 'ok', vfat: 'ok' },
    });
    expect(facts.availableMiB).toBeGreaterThan(450);
    await machine.waitForConsole(/the agent ended with status 7 .* starting it again in 1 s/, {
      signal: limit(30),
    });
    await machine.waitForConsole(/FACTS [\s\S]*\nFACTS/, { signal: limit(60) });
  });

  test('UEFI: no disk; an appliance that goes away after the boot is waited for, and said so', async () => {
    await using lab = await createLab({ name: 'ramdisk-uefi' });
    const { machine, boot, http } = await bootedFacts(lab, {
      name: 'm2',
      mac: '52:54:00:77:01:03',
      uuid: '5f1d7a52-6d3c-4f7e-9a53-1d0c5e770103',
      firmware: 'uefi',
    });
    await machine.waitForConsole(/Run \/init as init process|overdub: ramdisk started/, {
      signal: limit(240),
    });
    await http.stop();
    await machine.waitForConsole(
      /have 10\.77\.0\.\d+ on \w+ but http:\/\/10\.77\.0\.1:7077 does not answer/,
      {
        signal: limit(90),
      },
    );
    await boot.startHttp();
    const [, json = ''] = await machine.waitForConsole(/FACTS (.*) END/, { signal: limit(90) });
    expect(JSON.parse(json)).toMatchObject({ disks: [], nics: 1, efi: true, hostname: 'machine-770103' });
  });
});

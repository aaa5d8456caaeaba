/** Disks for tests: image files behind loop devices, their partitions as loops of their own. Needs root. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { MachineFacts } from '@overdub/core/agent';
import type { DiskDevice } from '../disk/facts.ts';
import { readGpt } from '../disk/gpt.ts';
import { type DiskHost, syncAndUnmount } from '../disk/host.ts';
import { runProgram } from '../disk/run.ts';
import { MOUNT_FLAGS, mountDevice } from '../tree/libc.ts';

export const TEST_FACTS: MachineFacts = {
  firmware: 'bios',
  arch: 'x86_64',
  cpu: { model: 'test', cores: 1 },
  memoryBytes: 1 << 30,
  disks: [],
  nics: [
    { name: 'eth0', mac: '52:54:00:00:00:01', link: false },
    { name: 'eth1', mac: '52:54:00:00:00:02', link: true },
  ],
  dmi: {},
};

/** A {@link DiskHost} over image files. Kernels without GPT support do for it. */
export class LoopHost implements DiskHost {
  readonly mountBase: string;
  readonly grubModules = '/usr/lib/grub';
  /** Tests replace it where a program is not to touch this host. */
  run: DiskHost['run'] = runProgram;
  readonly warnings: string[] = [];
  readonly #directory: string;
  readonly #disks: DiskDevice[] = [];
  readonly #partitions = new Map<string, string>();

  constructor(directory: string) {
    this.#directory = directory;
    this.mountBase = join(directory, 'mnt');
    mkdirSync(this.mountBase);
  }

  addDisk(serial: string, bytes: number, sectorBytes = 512): string {
    const file = join(this.#directory, `${serial}.img`);
    writeFileSync(file, '');
    truncateSync(file, bytes);
    const name = basename(loop(['-b', String(sectorBytes), file]));
    this.#disks.push({
      name,
      bytes,
      sectorBytes,
      transport: 'virtio',
      serial,
      removable: false,
      place: file,
    });
    return file;
  }

  facts(): MachineFacts {
    return TEST_FACTS;
  }

  disks(): DiskDevice[] {
    return this.#disks;
  }

  devicePath(disk: string): string {
    return `/dev/${disk}`;
  }

  async partition(disk: string, number: number): Promise<string> {
    const key = `${disk}/${number}`;
    const known = this.#partitions.get(key);
    if (known !== undefined) return known;
    const gpt = readGpt(`/dev/${disk}`);
    const part = gpt?.partitions.find((entry) => entry.number === number);
    const file = this.#disks.find(({ name }) => name === disk)?.place;
    if (gpt === undefined || part === undefined || file === undefined) throw new Error(`no partition ${key}`);
    const range = (sectors: number) => String(sectors * gpt.sectorBytes);
    const size = range(part.lastLba - part.firstLba + 1);
    const made = loop(['-b', String(gpt.sectorBytes), '-o', range(part.firstLba), '--sizelimit', size, file]);
    this.#partitions.set(key, made);
    return made;
  }

  volumes(): { device: string; disk: string }[] {
    return [...this.#partitions].map(([key, device]) => ({ device, disk: key.split('/')[0] as string }));
  }

  /** The ESP is a plain directory here: many kernels that run tests have no FAT. */
  mount(device: string, target: string, type: 'ext4' | 'vfat'): void {
    if (type === 'ext4') mountDevice(device, target, type, MOUNT_FLAGS.noAtime);
  }

  warn(text: string): void {
    this.warnings.push(text);
  }

  unmount(target: string): void {
    syncAndUnmount(target);
  }

  /** Detaches everything; filesystems must be unmounted. */
  cleanUp(): void {
    for (const device of [...this.#partitions.values(), ...this.#disks.map(({ name }) => `/dev/${name}`)]) {
      execFileSync('losetup', ['-d', device]);
    }
  }
}

function loop(args: readonly string[]): string {
  return execFileSync('losetup', ['-f', '--show', ...args], { encoding: 'utf8' }).trim();
}

/** Puts our GRUB on a disk for both firmware kinds, by the ramdisk's own tool. Nothing of the image is run. */

import {
  closeSync,
  cpSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { OverdubError, type PreparedDisk, type ServerIdentity } from '@overdub/core/agent';
import type { DiskHost } from '../host.ts';
import { RootFiles } from '../root-files.ts';
import { embedBiosBoot } from './bios.ts';
import { bootConfig, earlyConfig, serverConfigFits } from './config.ts';
import { findKernels } from './kernels.ts';

/** Built in, so that a damaged module directory still boots a kernel. */
const CORE_MODULES = [
  'part_gpt',
  'fat',
  'ext2',
  'search',
  'search_fs_uuid',
  'normal',
  'configfile',
  'linux',
  'test',
  'echo',
];

const TARGETS = [
  { name: 'i386-pc', modules: [...CORE_MODULES, 'biosdisk'] },
  { name: 'x86_64-efi', modules: CORE_MODULES },
] as const;

/** Where UEFI looks on its own (UEFI 2.10 §3.5.1.1), and our own place beside it, which the machine's boot entry names. */
const EFI_NAMES = ['EFI/BOOT/BOOTX64.EFI', 'EFI/overdub/grubx64.efi'];

/** Renders the ESP and the BIOS boot partition. Idempotent; a power cut leaves old or new files, never half ones. */
export async function installBootloader(
  host: DiskHost,
  disk: PreparedDisk,
  identity: ServerIdentity,
): Promise<void> {
  const directory = join(disk.espMount, 'overdub/grub');
  mkdirSync(directory, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'overdub-grub-'));
  try {
    const early = join(work, 'early.cfg');
    writeFileSync(early, earlyConfig(identity));
    for (const target of TARGETS) {
      const modules = join(host.grubModules, target.name);
      if (!existsSync(modules)) throw noModules(modules);
      copyModules(modules, join(directory, target.name));
      const image = join(work, target.name);
      const common = ['-O', target.name, '-d', modules, '-p', '/overdub/grub', '-c', early, '-o', image];
      await host.run('grub-mkimage', [...common, ...target.modules]);
    }
    for (const name of EFI_NAMES)
      replaceFile(join(disk.espMount, name), readFileSync(join(work, 'x86_64-efi')));
    embedBiosBoot(
      disk.device,
      readFileSync(join(host.grubModules, 'i386-pc/boot.img')),
      readFileSync(join(work, 'i386-pc')),
    );
    replaceFile(join(directory, 'grub.cfg'), Buffer.from(configFor(disk.rootMount, identity)));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function configFor(root: string, identity: ServerIdentity): string {
  const files = new RootFiles(root);
  try {
    return bootConfig(identity, findKernels(files), serverConfigFits(files, identity));
  } finally {
    files.close();
  }
}

/** Modules and their lists; equal ones are left as they are. */
function copyModules(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from).filter((name) => /\.(mod|lst)$/.test(name))) {
    const bytes = readFileSync(join(from, name));
    const target = join(to, name);
    if (existsSync(target) && readFileSync(target).equals(bytes)) continue;
    cpSync(join(from, name), target);
  }
}

function replaceFile(path: string, bytes: Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.new`;
  const fd = openSync(temporary, 'w');
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
}

function noModules(path: string): OverdubError {
  return new OverdubError(
    'PREREQUISITE_MISSING',
    `GRUB's modules are not at ${path}.`,
    'Build the ramdisk again with `overdub ramdisk build`; it takes them from grub-pc-bin and grub-efi-amd64-bin.',
  );
}

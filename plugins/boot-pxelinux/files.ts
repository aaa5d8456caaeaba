/** PXELINUX and its modules, from Debian's packages. */

import path from 'node:path';
import type { Artifact } from '@overdub/core/agent';
import { fileArtifact, missingFile } from '@overdub/lib-boot';
import type { PxelinuxOptions } from './options.ts';

const LOADERS = 'usr/lib/PXELINUX';
const MODULES = 'usr/lib/syslinux/modules/bios';

/** File name → path in the packages. `reboot.c32` needs `libcom32.c32`, every configuration `ldlinux.c32`. */
const FILES: ReadonlyMap<string, string> = new Map([
  ['lpxelinux.0', LOADERS],
  ['pxelinux.0', LOADERS],
  ['ldlinux.c32', MODULES],
  ['libcom32.c32', MODULES],
  ['reboot.c32', MODULES],
]);

/** What firmware loads first. */
export function loaderFile({ transfer }: PxelinuxOptions): string {
  return transfer === 'tftp' ? 'pxelinux.0' : 'lpxelinux.0';
}

/** One of PXELINUX's own files; `undefined` for other names and for files that are not there. */
export async function binaryArtifact(file: string, options: PxelinuxOptions): Promise<Artifact | undefined> {
  const where = pathOf(file, options);
  return where === undefined ? undefined : fileArtifact(where);
}

/** PREREQUISITE_MISSING unless the loader that is given out and every module are there. */
export async function checkFiles(options: PxelinuxOptions): Promise<void> {
  const needed = [loaderFile(options), 'ldlinux.c32', 'libcom32.c32', 'reboot.c32'];
  for (const file of needed) {
    if ((await binaryArtifact(file, options)) !== undefined) continue;
    throw missingFile({
      plugin: 'boot-pxelinux',
      file: pathOf(file, options) as string,
      without: 'no machine could boot through PXELINUX',
      tree: options.packages ?? '/',
      packages: 'pxelinux syslinux-common',
    });
  }
}

function pathOf(file: string, { packages = '/' }: PxelinuxOptions): string | undefined {
  const folder = FILES.get(file);
  return folder && path.join(packages, folder, file);
}

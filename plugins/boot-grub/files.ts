/** shim, GRUB and what else firmware asks for, from Debian's packages. */

import path from 'node:path';
import type { Artifact, BootArch } from '@overdub/core/agent';
import { fileArtifact, missingFile } from '@overdub/lib-boot';
import type { GrubOptions } from './options.ts';

/** Where the loader is served. shim asks for its neighbours beside itself, GRUB for `/grub/grub.cfg`. */
const HOME = 'grub';

interface Binaries {
  /** Debian's name of the architecture in paths. */
  readonly debian: string;
  /** UEFI's short name of the architecture (UEFI 2.10 §3.5.1.1). */
  readonly uefi: string;
  readonly packages: string;
}

const BINARIES: ReadonlyMap<BootArch, Binaries> = new Map([
  ['uefi-x86_64', { debian: 'x86_64', uefi: 'x64', packages: 'shim-signed grub-efi-amd64-signed' }],
  [
    'uefi-arm64',
    { debian: 'arm64', uefi: 'aa64', packages: 'shim-signed:arm64 grub-efi-arm64-signed:arm64' },
  ],
]);

/** The tree of an architecture's packages; `undefined` where its machines are not served. */
export function treeOf(arch: BootArch, options: GrubOptions): string | undefined {
  if (arch === 'uefi-x86_64') return options.packages ?? '/';
  return arch === 'uefi-arm64' ? options.arm : undefined;
}

/** What firmware of this architecture loads first: `grub/shimx64.efi`. */
export function shimOf(arch: BootArch): string | undefined {
  const binaries = BINARIES.get(arch);
  return binaries && `${HOME}/shim${binaries.uefi}.efi`;
}

/**
 * `grub/shim*.efi`, `grub/grub*.efi` and `grub/mm*.efi` (which shim starts when it refuses GRUB). The latter two also
 * without `grub/`: shim looks there when the DHCP answer named it in option 67 only. `undefined` for other names and
 * for files that are not there.
 */
export async function binaryArtifact(name: string, options: GrubOptions): Promise<Artifact | undefined> {
  for (const [arch, binaries] of BINARIES) {
    const tree = treeOf(arch, options);
    const file = filesOf(binaries).get(name);
    if (tree !== undefined && file !== undefined) return fileArtifact(path.join(tree, file));
  }
  return undefined;
}

/** Artifact name → path in the packages. */
function filesOf({ debian, uefi }: Binaries): ReadonlyMap<string, string> {
  const shim = `usr/lib/shim/shim${uefi}.efi.signed`;
  const helper = `usr/lib/shim/mm${uefi}.efi.signed`;
  const grub = `usr/lib/grub/${debian}-efi-signed/grubnet${uefi}.efi.signed`;
  return new Map([
    [`${HOME}/shim${uefi}.efi`, shim],
    ...[`${HOME}/`, ''].flatMap((home) => [
      [`${home}grub${uefi}.efi`, grub] as const,
      [`${home}mm${uefi}.efi`, helper] as const,
    ]),
  ]);
}

/** PREREQUISITE_MISSING unless shim and GRUB of every architecture that is served are there. */
export async function checkFiles(options: GrubOptions): Promise<void> {
  for (const [arch, binaries] of BINARIES) {
    const tree = treeOf(arch, options);
    if (tree === undefined) continue;
    for (const name of [`${HOME}/shim${binaries.uefi}.efi`, `${HOME}/grub${binaries.uefi}.efi`]) {
      if ((await binaryArtifact(name, options)) !== undefined) continue;
      throw missingFile({
        plugin: 'boot-grub',
        file: path.join(tree, filesOf(binaries).get(name) as string),
        without: `no ${arch} machine could boot through GRUB`,
        tree,
        packages: binaries.packages,
      });
    }
  }
}

/** The ramdisk as every way of booting it names it. */

/** Its boot artifacts for an architecture, served from `/boot/<name>` and by TFTP. */
export function ramdiskArtifacts(arch: 'x86_64' | 'arm64'): {
  readonly kernel: string;
  readonly initrd: string;
} {
  return { kernel: `ramdisk/${arch}/vmlinuz`, initrd: `ramdisk/${arch}/initrd` };
}

const CONSOLES: readonly string[] = ['console=tty0', 'console=ttyS0,115200'];

/**
 * Serial console for emulated machines and racks, screen for the rest. The last one becomes /dev/console. ARM's serial
 * ports are of two kinds; the one that a machine lacks is passed over.
 */
export function kernelArguments(arch: 'x86_64' | 'arm64'): readonly string[] {
  return arch === 'arm64' ? [...CONSOLES, 'console=ttyAMA0,115200'] : CONSOLES;
}

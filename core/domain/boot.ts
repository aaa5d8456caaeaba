/** The ramdisk as every way of booting it names it. */

/** Its boot artifacts for an architecture, served from `/boot/<name>` and by TFTP. */
export function ramdiskArtifacts(arch: 'x86_64' | 'arm64'): {
  readonly kernel: string;
  readonly initrd: string;
} {
  return { kernel: `ramdisk/${arch}/vmlinuz`, initrd: `ramdisk/${arch}/initrd` };
}

/** Serial console for emulated machines and racks, screen for the rest. The last one becomes /dev/console. */
export const KERNEL_ARGUMENTS: readonly string[] = ['console=tty0', 'console=ttyS0,115200'];

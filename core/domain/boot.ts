/** The ramdisk as every way of booting it names it. */

/** Its boot artifacts, served from `/boot/<name>` and by TFTP. */
export const RAMDISK_ARTIFACTS = {
  kernel: 'ramdisk/x86_64/vmlinuz',
  initrd: 'ramdisk/x86_64/initrd',
} as const;

/** Serial console for emulated machines and racks, screen for the rest. The last one becomes /dev/console. */
export const KERNEL_ARGUMENTS: readonly string[] = ['console=tty0', 'console=ttyS0,115200'];

/** The configurations that PXELINUX reads. Written for 6.04 (Debian 12). */

import { type BootPlan, ramdiskArtifacts } from '@overdub/core/agent';
import { checkedArgument, checkedBaseUrl } from '@overdub/lib-boot';

/** The ramdisk of BIOS machines. */
export const RAMDISK = ramdiskArtifacts('x86_64');

const PAUSE_SECONDS = 5;
const PANIC_SECONDS = 30;
const NO_RAMDISK_SECONDS = 30;

/**
 * Loads the ramdisk and its session, which comes first: see boot-ipxe. What fails to load leaves PXELINUX at its prompt, whose
 * timeout ends in a reboot, that is in a new attempt with a new nonce; while `reboot.c32` cannot be fetched either, it is
 * tried again. PXELINUX starts a kernel with an initramfs that broke off, which panics: it is to reboot, too.
 * @param session its artifact's name, which PXELINUX hands on to the kernel's command line
 * @param from where artifacts lie for this machine: `http://10.0.0.1:7077` for HTTP; without it they come by TFTP
 * @throws INPUT_INVALID when a value does not fit the grammar of boot scripts
 */
export function ramdiskConfig(
  plan: Pick<Extract<BootPlan, { kind: 'ramdisk' }>, 'kernelArguments'>,
  session: string,
  from?: string,
): string {
  // A leading `::` keeps PXELINUX from putting its own folder before the name.
  const home = from === undefined ? '::' : `${checkedBaseUrl(from)}/boot/`;
  const kernelArguments = [`panic=${PANIC_SECONDS}`, ...plan.kernelArguments.map(checkedArgument)].join(' ');
  return lines(
    'SAY Overdub: loading the ramdisk',
    'DEFAULT ramdisk',
    ...atTimeout('again', PAUSE_SECONDS),
    'LABEL ramdisk',
    `  LINUX ${home}${RAMDISK.kernel}`,
    `  APPEND initrd=${home}${checkedArgument(session)},${home}${RAMDISK.initrd} ${kernelArguments}`,
    'LABEL again',
    '  COM32 reboot.c32',
  );
}

/** On to the next entry of the BIOS's boot order. */
export function localConfig(): string {
  return lines('DEFAULT disk', ...disk());
}

/** Where no ramdisk is built: says so, and goes on to the disk. */
export function noRamdiskConfig(): string {
  return lines(
    `SAY Overdub has no ramdisk; going on to the disk in ${NO_RAMDISK_SECONDS} seconds`,
    'PROMPT 1',
    'DEFAULT disk',
    ...atTimeout('disk', NO_RAMDISK_SECONDS),
    ...disk(),
  );
}

function disk(): string[] {
  return ['LABEL disk', '  LOCALBOOT 0'];
}

/** PXELINUX counts tenths of a second. The total ends a prompt at which somebody began to type, too. */
function atTimeout(label: string, seconds: number): string[] {
  return [`TIMEOUT ${seconds * 10}`, `TOTALTIMEOUT ${600 * 10}`, `ONTIMEOUT ${label}`];
}

function lines(...body: readonly string[]): string {
  return `${body.join('\n')}\n`;
}

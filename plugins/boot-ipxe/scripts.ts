/** The scripts that iPXE runs. Written for iPXE from 2019 (Debian 12) on, BIOS and UEFI. */

import { type BootArch, type BootPlan, ramdiskArtifacts } from '@overdub/core/agent';
import { checkedArgument, checkedBaseUrl, checkedNonce } from '@overdub/lib-boot';
import { type MenuOptions, menuLines } from './menu.ts';

/** What a script depends on besides its plan. */
export interface ScriptSite {
  readonly arch: BootArch;
  readonly baseUrl: string;
  /** Where the machine gets its next script. */
  readonly scriptUrl: string;
  /** Default: no menu. */
  readonly menu?: MenuOptions | undefined;
}

const ATTEMPTS = 20;
const PAUSE_SECONDS = 5;
const START_OVER_SECONDS = 30;

/**
 * Loads the ramdisk and its session by HTTP and starts it. Patient: links and switches take their time after
 * iPXE took over the card. What never comes ends in a reboot, that is in a new attempt with a new nonce.
 *
 * `initrd=` names each file for UEFI kernels, whose stub reads them by name; BIOS kernels ignore it. The session
 * comes first: its length is a multiple of 512, so that the compressed archive behind it needs no padding.
 * @throws INPUT_INVALID when a value does not fit the script's grammar
 */
export function ramdiskScript(plan: Extract<BootPlan, { kind: 'ramdisk' }>, site: ScriptSite): string {
  const { kernel, initrd } = ramdiskArtifacts('x86_64');
  const boot = `${checkedBaseUrl(site.baseUrl)}/boot`;
  const kernelArguments = [
    'initrd=session.cpio',
    'initrd=initrd',
    ...plan.kernelArguments.map(checkedArgument),
  ];
  return lines(
    ...(site.menu === undefined
      ? []
      : [...menuLines(site.menu, ['ramdisk', 'disk']), ...diskLines(site), ':ramdisk']),
    'set attempt:int32 0',
    'goto fetch',
    ':retry',
    'inc attempt',
    `iseq \${attempt} ${ATTEMPTS} && goto failed ||`,
    `echo Overdub: no answer yet, attempt \${attempt} of ${ATTEMPTS}`,
    `sleep ${PAUSE_SECONDS}`,
    ':fetch',
    'imgfree',
    `kernel --name vmlinuz ${boot}/${kernel} ${kernelArguments.join(' ')} || goto retry`,
    `initrd --name session.cpio ${boot}/session/${checkedNonce(plan.nonce)}.cpio || goto retry`,
    `initrd --name initrd ${boot}/${initrd} || goto retry`,
    'boot || goto failed',
    ':failed',
    `echo Overdub: the ramdisk cannot be loaded; starting over in ${START_OVER_SECONDS} seconds`,
    `sleep ${START_OVER_SECONDS}`,
    'reboot',
  );
}

/** On to the disk, which the menu, where there is one, has as its default. */
export function localScript(site: ScriptSite): string {
  if (site.menu !== undefined) return lines(...menuLines(site.menu, ['disk']), ...diskLines(site));
  return site.arch === 'bios-x86' ? lines(...diskLines(site)) : lines('exit');
}

/**
 * BIOS by its drive number: where that does not start, the machine asks for a script again, for the plan may have changed
 * by then, and where nobody answers it reboots. UEFI gives way to the next boot entry.
 */
function diskLines({ arch, scriptUrl }: ScriptSite): string[] {
  const start =
    arch === 'bios-x86'
      ? [
          'sanboot --no-describe --drive 0x80 ||',
          `echo Overdub: the disk does not start; asking again in ${START_OVER_SECONDS} seconds`,
          `sleep ${START_OVER_SECONDS} ||`,
        ]
      : ['exit'];
  return [':disk', ...start, ':again', `chain --replace --autofree ${scriptUrl} ||`, 'reboot'];
}

/**
 * `autoexec.ipxe`, which iPXE 2 asks for beside its binary and at the root: ask DHCP, now as iPXE, and follow
 * the URL it names. Without an answer, on to the next boot entry.
 */
export function autoexecScript(): string {
  return lines(
    'set attempt:int32 0',
    ':retry',
    'autoboot && exit ||',
    'inc attempt',
    `iseq \${attempt} 5 && exit ||`,
    `sleep ${PAUSE_SECONDS}`,
    'goto retry',
  );
}

function lines(...body: readonly string[]): string {
  return `${['#!ipxe', ...body].join('\n')}\n`;
}

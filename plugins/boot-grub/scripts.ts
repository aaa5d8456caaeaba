/** What GRUB runs: a configuration for all machines, and one of each machine's own for one boot. Written for 2.06 on. */

import { type BootArch, type BootPlan, ramdiskArtifacts } from '@overdub/core/agent';
import { checkedArgument, checkedNonce } from '@overdub/lib-boot';

const PAUSE_SECONDS = 5;
const ATTEMPTS = Array.from({ length: 20 }, (_, index) => index + 1).join(' ');

/** The ramdisk's files for a client of one of the two architectures that GRUB is served for. */
export function ramdiskFor(arch: BootArch): ReturnType<typeof ramdiskArtifacts> {
  return ramdiskArtifacts(arch === 'uefi-arm64' ? 'arm64' : 'x86_64');
}

/**
 * `grub/grub.cfg`: fetches the machine's own configuration from where GRUB itself came from, and runs it. The name says
 * who asks and which address of ours it can reach. Where none comes, on to the next boot entry.
 */
export function commonConfig(): string {
  return lines(
    'set pager=0',
    `for attempt in ${ATTEMPTS}; do`,
    '  source (tftp,$net_default_server)/grub/machine/$net_default_server/$grub_cpu/$net_default_mac.cfg',
    `  echo "Overdub: no answer for $net_default_mac from $net_default_server, attempt $attempt"`,
    `  sleep ${PAUSE_SECONDS}`,
    'done',
    'exit',
  );
}

/**
 * Loads the ramdisk and its session by TFTP, the one protocol that every GRUB of Debian's speaks, and starts it. What
 * never comes ends in a reboot, that is in a new attempt with a new nonce. The session comes first: see boot-ipxe.
 * @throws INPUT_INVALID when a value does not fit the grammar of boot scripts
 */
export function ramdiskConfig(
  plan: Extract<BootPlan, { kind: 'ramdisk' }>,
  arch: BootArch,
  server: string,
): string {
  const from = `(tftp,${server})`;
  const ramdisk = ramdiskFor(arch);
  const kernelArguments = plan.kernelArguments.map((argument) => ` ${checkedArgument(argument)}`).join('');
  return lines(
    `for attempt in ${ATTEMPTS}; do`,
    '  echo "Overdub: loading the ramdisk"',
    `  if linux ${from}/${ramdisk.kernel}${kernelArguments}; then`,
    `    if initrd ${from}/session/${checkedNonce(plan.nonce)}.cpio ${from}/${ramdisk.initrd}; then`,
    '      boot',
    '    fi',
    '  fi',
    '  echo "Overdub: the ramdisk does not start yet, attempt $attempt"',
    `  sleep ${PAUSE_SECONDS}`,
    'done',
    'reboot',
  );
}

/** For machines that no ramdisk runs on: says so, and gives way to the next boot entry. */
export function noRamdiskConfig(arch: BootArch): string {
  return lines(
    `echo "Overdub has no ramdisk for ${arch} machines; going on to the next boot entry in 30 seconds"`,
    'sleep 30',
    'exit',
  );
}

/** On to the disk: GRUB gives way to the firmware's next boot entry. */
export function localConfig(): string {
  return lines('exit');
}

function lines(...body: readonly string[]): string {
  return `${body.join('\n')}\n`;
}

/** The ramdisk, made ready to follow the running kernel (kexec): minutes of firmware are left out. */

import { access, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { RamdiskBoot } from '@overdub/core/agent';
import { fetchRamdisk } from './fetch.ts';
import { kexecFileLoad } from './kexec-file-load.ts';

/** Memory, so that nothing is written to a disk that may have to be looked into. */
const DIRECTORY = '/run/overdub/ramdisk';

export interface LoadRequest {
  /** Base URL of the appliance, for the ramdisk's session. */
  readonly url: string;
  readonly boot: RamdiskBoot;
  /** Opens a boot artifact of the appliance. */
  readonly open: (name: string) => Promise<Readable>;
}

/**
 * Fetches the ramdisk and loads it into the kernel; `systemctl kexec` then shuts down as for a reboot and starts it.
 * Rejects, and leaves nothing behind, where that cannot be: no systemd, a kernel without kexec or locked down
 * (kernel_lockdown(7)) against this one, too little memory.
 */
export async function loadRamdisk({ url, boot, open }: LoadRequest): Promise<void> {
  await access('/run/systemd/system').catch((cause: unknown) => {
    throw new Error('systemd does not run here', { cause });
  });
  try {
    await mkdir(DIRECTORY, { recursive: true, mode: 0o700 });
    const [kernel, initrd] = [join(DIRECTORY, 'vmlinuz'), join(DIRECTORY, 'initrd')];
    await fetchRamdisk({ url, boot, open, kernel, initrd });
    await kexecFileLoad({ kernel, initrd, commandLine: boot.kernelArguments.join(' ') });
  } finally {
    // The kernel has its own copy.
    await rm(DIRECTORY, { recursive: true, force: true });
  }
}

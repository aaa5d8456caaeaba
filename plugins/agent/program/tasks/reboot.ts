/** The reboot task: the machine goes down as soon as the result is reported, and soon in any case. */

import { spawn } from 'node:child_process';
import type { RebootResult, RebootTask } from '@overdub/core/agent';
import { OverdubError } from '@overdub/core/agent';
import { loadRamdisk } from '../kexec/load.ts';
import type { WorkContext } from '../work.ts';
import type { TaskContext } from './context.ts';

/** Time for the report to get out, seconds: an appliance that vanishes keeps no machine up. */
const GRACE_SECONDS = 3;

/**
 * Into the ramdisk by kexec where the task brings it and this kernel can; else through the firmware, and then where it
 * comes up again is the boot plan's matter. CONFLICT where the agent has no machine of its own.
 */
export async function reboot(context: TaskContext, task: RebootTask): Promise<RebootResult> {
  if (context.options.root !== '/') {
    throw new OverdubError(
      'CONFLICT',
      'This agent works on a directory; there is no machine to reboot.',
      'Start it on the machine itself: overdub agent install.',
    );
  }
  const result = await wayDown(context, task);
  await spawnDetached(`sleep ${GRACE_SECONDS}; ${commandFor(context, result)}`);
  return result;
}

/** Goes down at once: the appliance has heard the result. What still waits goes down with the machine. */
export function goDown(context: WorkContext, result: RebootResult): Promise<void> {
  return spawnDetached(commandFor(context, result));
}

/** Makes kexec ready where it can be, and says by which way the machine is to go. */
export async function wayDown(context: TaskContext, { ramdisk }: RebootTask): Promise<RebootResult> {
  const { options, appliance, signal } = context;
  if (ramdisk === undefined || options.where === 'ramdisk') return { by: 'firmware' };
  try {
    await loadRamdisk({ url: options.url, boot: ramdisk, open: (name) => appliance.artifact(name, signal) });
    return { by: 'kexec' };
  } catch (error) {
    signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    options.print(`no kexec into the ramdisk, the machine reboots instead: ${reason}`);
    return { by: 'firmware', reason };
  }
}

function commandFor({ options }: WorkContext, { by }: RebootResult): string {
  if (options.where === 'ramdisk') return 'sync; reboot -f';
  return by === 'kexec' ? 'systemctl kexec' : 'systemctl reboot';
}

async function spawnDetached(script: string): Promise<void> {
  const child = spawn('/bin/sh', ['-c', script], { detached: true, stdio: 'ignore' });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.unref();
}

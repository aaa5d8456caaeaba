/** The reboot task: the machine goes down shortly after the result is reported. */

import { spawn } from 'node:child_process';
import type { RebootTask } from '@overdub/core/agent';
import { OverdubError } from '@overdub/core/agent';
import type { TaskContext } from './context.ts';

/** Time for the report to get out, seconds. */
const GRACE_SECONDS = 3;

/** Where it comes up again is the boot plan's matter. Refused where the agent has no machine of its own. */
export async function reboot(context: TaskContext, _task: RebootTask): Promise<Record<string, never>> {
  if (context.options.root !== '/') {
    throw new OverdubError(
      'CONFLICT',
      'This agent works on a directory; there is no machine to reboot.',
      'Start it on the machine itself: overdub agent install.',
    );
  }
  const command = context.options.where === 'ramdisk' ? 'sync; reboot -f' : 'systemctl reboot';
  const script = `sleep ${GRACE_SECONDS}; ${command}`;
  const child = spawn('/bin/sh', ['-c', script], { detached: true, stdio: 'ignore' });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.unref();
  return {};
}

/** One task, whatever its kind. */

import { type AgentTask, type Imager, OverdubError, type Progress } from '@overdub/core/agent';
import { imagerOf } from '../options.ts';
import type { WorkContext } from '../work.ts';
import { install } from './install.ts';
import { reboot } from './reboot.ts';
import { restore } from './restore.ts';
import { snapshot } from './snapshot.ts';

/** What every task gets besides its own fields. */
export interface TaskContext extends WorkContext {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

/** Resolves with the task's result; rejects with coded errors. Each kind may be begun again after any failure. */
export async function performTask(
  context: WorkContext,
  task: AgentTask,
  { signal, onProgress }: Pick<TaskContext, 'signal' | 'onProgress'>,
): Promise<unknown> {
  const all: TaskContext = { ...context, signal, onProgress };
  if (task.kind === 'install') return await install(all, task);
  if (task.kind === 'snapshot') return await snapshot(all, task);
  if (task.kind === 'restore') return await restore(all, task);
  return await reboot(all, task);
}

/** DRIVER_MISSING when no half brings the imager that the server's record names. */
export function requireImager(context: WorkContext, kind: string): Imager {
  const imager = imagerOf(context.halves, kind);
  if (imager !== undefined) return imager;
  throw new OverdubError(
    'DRIVER_MISSING',
    `The agent has no imager of the kind ${kind}.`,
    `Configure the plugin imaging-${kind}; agents fetch it by themselves.`,
  );
}

/** Wall clock of this machine, nanoseconds. */
export function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

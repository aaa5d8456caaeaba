/** One task, whatever its kind. */

import type { AgentTask } from '@overdub/core/agent';
import type { WorkContext } from '../work.ts';
import type { TaskContext } from './context.ts';
import { install } from './install.ts';
import { reboot } from './reboot.ts';
import { restore } from './restore.ts';
import { snapshot } from './snapshot.ts';

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

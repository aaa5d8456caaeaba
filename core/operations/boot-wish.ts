import type { Operation } from '../domain/operation.ts';
import { recall } from './definition.ts';

/** What open operations want a machine to boot. One that failed and is being undone wants nothing any more. */
export function bootWish(open: readonly Operation[], machineId: string): 'ramdisk' | 'local' | undefined {
  const wanting = open.find(
    (operation) =>
      operation.state !== 'queued' &&
      operation.error === undefined &&
      recall(operation).bootMachine === machineId,
  );
  return wanting === undefined ? undefined : recall(wanting).boot;
}

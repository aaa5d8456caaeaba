/** A snapshot somebody asked for, taken by the agent of the running server. */

import type { Snapshot } from '../domain/snapshot.ts';
import { HOUR_MS, type OperationDefinition, type StepContext } from './definition.ts';
import { TASK_ABSENCE_MS, taskServer } from './machine-steps.ts';
import { forgetWanted } from './repair-wishes.ts';
import type { OperationServices } from './services.ts';

export function snapshot(services: OperationServices): OperationDefinition {
  const steps = [
    { name: 'snapshot', deadlineMs: 24 * HOUR_MS, run: (context: StepContext) => take(services, context) },
  ];
  return { kind: 'snapshot', steps: () => steps };
}

async function take(services: OperationServices, context: StepContext): Promise<void> {
  const { operation } = context;
  const server = await services.servers.get(operation.server ?? '');
  const { snapshot: taken } = await services.agents.run(
    { server: server.name, where: 'server' },
    {
      kind: 'snapshot',
      id: `${operation.id}/snapshot`,
      operation: operation.id,
      server: taskServer(server),
      reason: 'manual',
      trust: 'stat',
      suspect: false,
      ...(operation.parameters.everything === true ? { everything: true as const } : {}),
    },
    { signal: context.signal, onProgress: context.progress, absenceMs: TASK_ABSENCE_MS },
  );
  if (operation.parameters.everything === true) await forgetWanted(services.catalogue, server.name);
  await context.remember({ result: snapshotSummary(taken) });
}

/** What an operation's result says of a snapshot. */
export function snapshotSummary(taken: Snapshot): Readonly<Record<string, unknown>> {
  const { id, consistency, endedAt, stats, skippedTotal } = taken;
  return { snapshot: id, consistency, endedAt, skippedTotal, ...stats };
}

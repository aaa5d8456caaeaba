/** A server goes back in time on its own machine, with evidence of the present kept. */

import type { Operation } from '../domain/operation.ts';
import type { RestoreResult, RestoreTask } from '../domain/protocol.ts';
import type { Server, ServerState } from '../domain/server.ts';
import type { Snapshot } from '../domain/snapshot.ts';
import { OverdubError } from '../errors.ts';
import {
  HOUR_MS,
  type OperationDefinition,
  recall,
  type StepContext,
  type StepDefinition,
} from './definition.ts';
import { giveUp, youngerThan } from './given-up.ts';
import { knownImage, latestSnapshot } from './images.ts';
import { PEOPLE_DEADLINE_MS } from './install-steps.ts';
import {
  awaitServer,
  bootLocal,
  enterRamdisk,
  isInRamdisk,
  machineOf,
  orderReboot,
  TASK_ABSENCE_MS,
  taskServer,
} from './machine-steps.ts';
import { diffManifests } from './manifest-diff.ts';
import type { OperationServices } from './services.ts';

/** What was asked for; `snapshot` is an id. */
export interface RollbackParameters {
  readonly snapshot: string;
  readonly dryRun: boolean;
  readonly keep: readonly string[];
  readonly only: readonly string[];
  readonly safetySnapshot: boolean;
}

interface RollbackMemory {
  readonly previousState: ServerState;
  readonly safety: string;
  readonly restored: RestoreResult;
  readonly givenUp: readonly string[];
}

/** Changes a dry run lists; it counts all. */
const LISTED_CHANGES = 1000;

/**
 * check → enter-ramdisk → safety-snapshot → restore → boot-local → await-server → finish; a dry run only previews.
 * Until the restore begins, the server can go on as it was.
 */
export function rollback(services: OperationServices): OperationDefinition {
  const step = (
    name: string,
    deadlineMs: number,
    run: (services: OperationServices, context: StepContext) => Promise<void>,
  ): StepDefinition => ({ name, deadlineMs, run: (context) => run(services, context) });
  return {
    kind: 'rollback',
    steps(parameters) {
      const { dryRun, safetySnapshot } = parameters as unknown as RollbackParameters;
      if (dryRun) return [step('preview', 24 * HOUR_MS, preview)];
      return [
        step('check', HOUR_MS, check),
        step('enter-ramdisk', PEOPLE_DEADLINE_MS, goToRamdisk),
        ...(safetySnapshot ? [step('safety-snapshot', 24 * HOUR_MS, takeSafetySnapshot)] : []),
        { ...step('restore', 24 * HOUR_MS, restore), destructive: true },
        step('boot-local', HOUR_MS, async (_, context) =>
          bootLocal(services, context, (await subject(services, context.operation)).machineId),
        ),
        step('await-server', PEOPLE_DEADLINE_MS, async (_, context) => {
          const { server, machineId } = await subject(services, context.operation);
          await awaitServer(services, context, server.name, machineId, server.generation);
        }),
        step('finish', HOUR_MS, finish),
      ];
    },
    undo: (operation, _error, signal) => undo(services, operation, signal),
  };
}

function parametersOf(operation: Operation): RollbackParameters {
  return operation.parameters as unknown as RollbackParameters;
}

async function subject(
  services: OperationServices,
  operation: Operation,
): Promise<{ server: Server; machineId: string; snapshot: Snapshot }> {
  const server = await services.servers.get(operation.server ?? '');
  const { snapshot: id } = parametersOf(operation);
  const snapshot = await services.repository.getSnapshot(server.name, id);
  if (snapshot === undefined) {
    throw new OverdubError(
      'NOT_FOUND',
      `${server.name} has no snapshot ${id}.`,
      `List them: overdub snapshot list ${server.name}.`,
    );
  }
  return { server, machineId: assignedMachine(server), snapshot };
}

/** CONFLICT for a server without a machine of its own. */
export function assignedMachine(server: Server): string {
  if (server.machineId !== undefined) return server.machineId;
  throw new OverdubError(
    'CONFLICT',
    `${server.name} is on no machine that could be rolled back.`,
    server.state === 'enrolled'
      ? `Run overdub agent rollback --root DIR --server ${server.name} where its files are.`
      : `Assign it to a machine: overdub server assign ${server.name} MACHINE.`,
  );
}

async function check(services: OperationServices, context: StepContext): Promise<void> {
  const { server } = await subject(services, context.operation);
  const { previousState } = recall<RollbackMemory>(context.operation);
  if (previousState === undefined) await context.remember({ previousState: server.state });
}

async function goToRamdisk(services: OperationServices, context: StepContext): Promise<void> {
  const { server, machineId } = await subject(services, context.operation);
  const machine = await machineOf(services, machineId);
  // The boot plan first: a server in this state with no wish on record would get the ramdisk for ever.
  await context.remember({ bootMachine: machineId, boot: 'ramdisk' });
  await services.servers.update(server.name, (record) => ({ ...record, state: 'rolling-back' }));
  await enterRamdisk(services, context, machine);
}

async function takeSafetySnapshot(services: OperationServices, context: StepContext): Promise<void> {
  const { operation } = context;
  const { server, machineId } = await subject(services, operation);
  await enterRamdisk(services, context, await machineOf(services, machineId));
  const known = await knownImage(services.repository, server);
  const { snapshot } = await services.agents.run(
    { machineId, where: 'ramdisk' },
    {
      kind: 'snapshot',
      id: `${operation.id}/safety-snapshot`,
      operation: operation.id,
      server: taskServer(server),
      reason: 'safety',
      trust: 'nothing',
      suspect: true,
      ...(known === undefined ? {} : { known }),
    },
    { signal: context.signal, onProgress: context.progress, absenceMs: TASK_ABSENCE_MS },
  );
  if (!snapshot.pinned) await services.repository.commitSnapshot({ ...snapshot, pinned: true });
  await context.remember({ safety: snapshot.id });
}

async function restore(services: OperationServices, context: StepContext): Promise<void> {
  const { server, machineId, snapshot } = await subject(services, context.operation);
  await enterRamdisk(services, context, await machineOf(services, machineId));
  await disown(services, context, snapshot);
  const restored = await runRestore(services, context, { server, machineId, snapshot, dryRun: false });
  await context.remember({ restored: { ...restored, changes: restored.changes.slice(0, LISTED_CHANGES) } });
}

/**
 * Before the disk changes, so that a machine that burns meanwhile does not bring back what was to be undone. Of a server of
 * which only some paths are put back, what came later is no less than it was.
 */
async function disown(services: OperationServices, context: StepContext, target: Snapshot): Promise<void> {
  const { repository, log } = services;
  const { only } = parametersOf(context.operation);
  if (only.length > 0) return;
  const known = recall<RollbackMemory>(context.operation).givenUp;
  const givenUp = known ?? (await youngerThan(repository, target));
  if (known === undefined) await context.remember({ givenUp });
  await giveUp(repository, target, givenUp);
  if (givenUp.length > 0)
    log.info({ server: target.server, snapshots: givenUp }, 'given up by the rollback: marked suspect');
}

async function runRestore(
  services: OperationServices,
  { operation, signal, progress }: StepContext,
  what: { server: Server; machineId: string; snapshot: Snapshot; dryRun: boolean },
): Promise<RestoreResult> {
  const { keep, only } = parametersOf(operation);
  const { name, generation } = what.server;
  const task: RestoreTask = {
    kind: 'restore',
    id: `${operation.id}/${what.dryRun ? 'preview' : 'restore'}`,
    operation: operation.id,
    server: taskServer(what.server),
    image: what.snapshot.manifest,
    dryRun: what.dryRun,
    keep,
    only,
    credential: await services.credentials.issue({ server: name, generation, operation: operation.id }),
  };
  return services.agents.run({ machineId: what.machineId, where: 'ramdisk' }, task, {
    signal,
    onProgress: progress,
    absenceMs: TASK_ABSENCE_MS,
  });
}

async function finish(services: OperationServices, context: StepContext): Promise<void> {
  const { operation } = context;
  const { server, machineId, snapshot } = await subject(services, operation);
  const { safety, restored, givenUp } = recall<RollbackMemory>(operation);
  const { name, generation } = server;
  // Whoever broke in may have read the credential of before.
  await services.credentials.issue({ server: name, generation, operation: operation.id });
  await services.catalogue.credentials.keepOnly({ server: name, generation, operation: operation.id });
  await context.remember({
    result: {
      server: name,
      machine: machineId,
      snapshot: snapshot.id,
      ...(safety === undefined ? {} : { safetySnapshot: safety }),
      ...(givenUp === undefined ? {} : { givenUp }),
      ...restored,
    },
  });
  await services.servers.update(name, (record) => ({ ...record, state: 'running' }));
}

/** In the ramdisk the disk itself is asked; else the latest snapshot stands for it, and no machine is disturbed. */
async function preview(services: OperationServices, context: StepContext): Promise<void> {
  const { server, machineId, snapshot } = await subject(services, context.operation);
  if (isInRamdisk(services.agents, machineId)) {
    const result = await runRestore(services, context, { server, machineId, snapshot, dryRun: true });
    await context.remember({ result: { dryRun: true, against: 'disk', snapshot: snapshot.id, ...result } });
    return;
  }
  await context.remember({ result: await compareWithLatest(services, context, server, snapshot) });
}

async function compareWithLatest(
  { repository }: OperationServices,
  { operation, signal }: StepContext,
  server: Server,
  target: Snapshot,
): Promise<Readonly<Record<string, unknown>>> {
  const latest = (await latestSnapshot(repository, server.name)) ?? target;
  const { keep, only } = parametersOf(operation);
  const touched = (path: string) =>
    !keep.some((each) => isWithin(path, each)) &&
    (only.length === 0 || only.some((each) => isWithin(path, each)));
  const changes: { path: string; action: string }[] = [];
  const counts = { written: 0, removed: 0, metadataOnly: 0, writtenBytes: 0 };
  const differences = diffManifests(
    repository.readManifest(latest.manifest),
    repository.readManifest(target.manifest),
  );
  for await (const { path, change, after } of differences) {
    signal.throwIfAborted();
    if (!touched(path)) continue;
    const action = change === 'removed' ? 'remove' : change === 'metadata' ? 'metadata' : 'write';
    if (action === 'remove') counts.removed++;
    else if (action === 'metadata') counts.metadataOnly++;
    else counts.written++;
    if (action === 'write') counts.writtenBytes += after?.content?.bytes ?? 0;
    if (changes.length < LISTED_CHANGES) changes.push({ path, action });
  }
  return { dryRun: true, against: `snapshot ${latest.id}`, snapshot: target.id, ...counts, changes };
}

function isWithin(path: string, top: string): boolean {
  return top === '' || path === top || path.startsWith(`${top}/`);
}

/** Before the restore began, the server is as it was: it boots again. Afterwards nobody may take it for sound. */
async function undo(services: OperationServices, operation: Operation, signal: AbortSignal): Promise<void> {
  const { previousState } = recall<RollbackMemory>(operation);
  const { server, dryRun } = { server: operation.server ?? '', ...parametersOf(operation) };
  if (dryRun || previousState === undefined) return;
  const touched = operation.steps.some(({ name, state }) => name === 'restore' && state !== 'pending');
  const { machineId } = await services.servers.update(server, (record) => ({
    ...record,
    state: touched ? 'failed' : previousState,
  }));
  if (touched || machineId === undefined || previousState !== 'running') return;
  const ramdisk = { machineId, where: 'ramdisk' } as const;
  if (!isInRamdisk(services.agents, machineId)) return;
  await orderReboot(
    services,
    {
      operation,
      signal,
      progress: () => undefined,
      remember: async () => undefined,
      attention: async () => undefined,
    },
    ramdisk,
    'local',
  );
}

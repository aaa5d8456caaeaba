/**
 * Repair, as an operation: mends what the repository can mend by itself, then asks the machines whose images lack
 * something to offer everything they have. Nothing is deleted, and what stays lost is listed.
 */

import type { DamageReport, MendReport, RepairAnswer, RepairReport } from '../contracts/repository.ts';
import { formatMaster } from '../domain/master.ts';
import type { Server } from '../domain/server.ts';
import { OverdubError } from '../errors.ts';
import { HOUR_MS, type OperationDefinition, type StepContext } from './definition.ts';
import { latestSnapshot } from './images.ts';
import { forgetWanted, wantEverything } from './repair-wishes.ts';
import type { OperationServices } from './services.ts';

/** Several machines may read and send everything they have. */
const DEADLINE_MS = 7 * 24 * HOUR_MS;

export interface RepairParameters {
  /** Reads everything first, to find what is not known yet. */
  readonly readData: boolean;
}

export function repair(services: OperationServices): OperationDefinition {
  const steps = [
    { name: 'repair', deadlineMs: DEADLINE_MS, run: (context: StepContext) => run(services, context) },
  ];
  return { kind: 'repair', steps: () => steps };
}

async function run(services: OperationServices, context: StepContext): Promise<void> {
  const { repository } = services;
  const { readData } = context.operation.parameters as Partial<RepairParameters>;
  const options = { signal: context.signal, onProgress: context.progress };
  await repository.verify({ ...options, readData: readData === true });
  const found = await repository.mend(options);
  const asked: RepairAnswer[] = [];
  let left: MendReport = found;
  for (const server of await candidates(services, found)) {
    if (isWhole(left)) break;
    const answer = await ask(services, context, server);
    asked.push(answer);
    if (answer.outcome === 'sent') left = await repository.mend(options);
  }
  if (isWhole(left)) await forgetWanted(services.catalogue);
  const result: RepairReport = {
    ...left,
    sound: isWhole(left),
    salvagedPacks: found.salvagedPacks,
    repairedChunks: Math.max(0, found.damagedChunks - left.damagedChunks),
    asked,
  };
  await context.remember({ result: { ...result } });
}

function isWhole({ placesTotal, damagedRecords }: DamageReport): boolean {
  return placesTotal === 0 && damagedRecords.length === 0;
}

/**
 * Servers whose machines may have what images lack: first those whose newest state lacks something, then those whose
 * older ones do, then those that came from a damaged master and have no state of their own.
 */
async function candidates(
  { catalogue, repository }: OperationServices,
  found: MendReport,
): Promise<Server[]> {
  const images = new Set(found.damagedImages);
  const owners = new Set(found.damagedImages.map((image) => image.slice(0, image.indexOf('@'))));
  const ranked: { server: Server; rank: number }[] = [];
  for (const server of await catalogue.servers.list()) {
    const latest = await latestSnapshot(repository, server.name);
    const now = latest !== undefined && images.has(`${server.name}@${latest.id}`);
    const { master } = server;
    const fresh = latest === undefined && master !== undefined && images.has(formatMaster(master));
    if (now) ranked.push({ server, rank: 0 });
    else if (fresh) ranked.push({ server, rank: 2 });
    else if (owners.has(server.name)) ranked.push({ server, rank: 1 });
  }
  return ranked.sort((a, b) => a.rank - b.rank).map(({ server }) => server);
}

/** A snapshot in which everything is offered. An agent that is away is told when it comes for its next one. */
async function ask(
  services: OperationServices,
  context: StepContext,
  { name, machineId }: Server,
): Promise<RepairAnswer> {
  await wantEverything(services.catalogue, name);
  if (services.agents.present({ server: name, where: 'server' }) === undefined) {
    return { server: name, outcome: 'absent' };
  }
  context.progress({ text: `waiting for what ${name} has` });
  const submitted = await services.submit({
    kind: 'snapshot',
    server: name,
    ...(machineId === undefined ? {} : { machineId }),
    parameters: { reason: 'manual', everything: true },
    requestedBy: `repair ${context.operation.id}`,
  });
  const ended = await services.wait(submitted.id, { signal: context.signal });
  context.signal.throwIfAborted();
  if (ended.state === 'done') return { server: name, outcome: 'sent' };
  const why = ended.error === undefined ? ended.state : OverdubError.fromJSON(ended.error).message;
  return { server: name, outcome: 'failed', why };
}

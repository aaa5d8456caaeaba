/** Servers, as administrators make, change and assign them. */

import { isIPv4 } from 'node:net';
import type { ApplianceControl, CreateServer } from '../contracts/control.ts';
import { assertEntryPath } from '../domain/path.ts';
import { DEFAULT_RETENTION, type RetentionPolicy } from '../domain/retention.ts';
import { COMPRESSIONS, isCompression, isServerName, type SnapshotSchedule } from '../domain/server.ts';
import { OverdubError } from '../errors.ts';
import { releaseMachine } from '../operations/assignment.ts';
import { findMaster } from '../operations/images.ts';
import { checkMove } from '../operations/move.ts';
import { checkProvision } from '../operations/provision.ts';
import { newIdentity } from '../operations/server-book.ts';
import type { ControlDeps } from './deps.ts';
import { findMachine } from './machines.ts';
import { parseMaster } from './masters.ts';

type ServerControl = Pick<
  ApplianceControl,
  | 'createServer'
  | 'listServers'
  | 'getServer'
  | 'setServer'
  | 'removeServer'
  | 'assignServer'
  | 'releaseServer'
  | 'move'
>;

/** With less a snapshot would not end before its server has changed anew, bytes a second. */
const MIN_BANDWIDTH = 1000;
/** The only imager this version knows. */
const IMAGER = 'tree';

export function serverControl(deps: ControlDeps): ServerControl {
  const { catalogue, repository, servers, engine, clock, events } = deps;
  return {
    async createServer(request) {
      assertServerName(request.name);
      await assertSettings(deps, request.name, request);
      const master =
        request.master === undefined ? undefined : await findMaster(repository, parseMaster(request.master));
      const { name, schedule, address, bandwidth, compression } = request;
      return servers.create({
        name,
        ...(master === undefined ? {} : { master: { name: master.name, version: master.version } }),
        identity: newIdentity(name),
        state: master === undefined ? 'enrolled' : 'unassigned',
        generation: 0,
        ...(schedule === undefined ? {} : { schedule }),
        retention: { ...DEFAULT_RETENTION, ...request.retention },
        excludes: request.excludes ?? [],
        ...(bandwidth === undefined ? {} : { bandwidth }),
        ...(compression === undefined ? {} : { compression }),
        ...(address === undefined ? {} : { address }),
        drivers: { imager: IMAGER },
        createdAt: new Date(clock.now()).toISOString(),
      });
    },
    listServers: () => catalogue.servers.list(),
    getServer: (name) => servers.get(name),
    async setServer(name, change) {
      await assertSettings(deps, name, change);
      const { retention, excludes, address, compression } = change;
      const changed = await servers.update(name, ({ schedule: before, bandwidth: limit, ...server }) => {
        const schedule = change.schedule ?? (change.clearSchedule === true ? undefined : before);
        const bandwidth = change.bandwidth ?? (change.clearBandwidth === true ? undefined : limit);
        return {
          ...server,
          ...(schedule === undefined ? {} : { schedule }),
          ...(bandwidth === undefined ? {} : { bandwidth }),
          retention: { ...server.retention, ...retention },
          ...(excludes === undefined ? {} : { excludes }),
          ...(compression === undefined ? {} : { compression }),
          ...(address === undefined ? {} : { address }),
        };
      });
      deps.agents.recall({ server: name, where: 'server' });
      return changed;
    },
    async removeServer(name) {
      const server = await servers.get(name);
      assertIdle(deps, name);
      if (server.machineId !== undefined) {
        throw new OverdubError(
          'CONFLICT',
          `${name} is assigned to a machine.`,
          `Release it first: overdub server release ${name}.`,
        );
      }
      const snapshots = await repository.listSnapshots(name);
      const pinned = snapshots.filter((snapshot) => snapshot.pinned);
      if (pinned.length > 0) {
        throw new OverdubError(
          'CONFLICT',
          `${name} has ${pinned.length} pinned snapshots (${pinned.map(({ id }) => id).join(', ')}).`,
          'Unpin them first if their evidence is no longer needed: overdub snapshot unpin.',
        );
      }
      for (const { id } of snapshots) {
        await repository.removeSnapshot(name, id);
        events.emit('snapshot.removed', { server: name }, `snapshot ${name}@${id} went with its server`, {
          snapshot: id,
        });
      }
      await catalogue.credentials.removeFor(name);
      await servers.remove(name);
    },
    async assignServer(name, machineRef, by) {
      const server = await servers.get(name);
      const machine = await findMachine(deps, machineRef);
      await checkProvision(deps, server, machine.id);
      return engine.submit({ kind: 'provision', server: name, machineId: machine.id, requestedBy: by });
    },
    async releaseServer(name) {
      const before = await servers.get(name);
      assertIdle(deps, name);
      if (before.machineId === undefined) {
        throw new OverdubError(
          'CONFLICT',
          `${name} is on no machine.`,
          'There is nothing to release: overdub server show tells where a server is.',
        );
      }
      const { machineId, generation } = before;
      // The generation first: from here on an agent of before is held.
      const after = await servers.update(name, ({ machineId: _released, ...server }) => ({
        ...server,
        generation: server.generation + 1,
        state: server.master === undefined ? 'enrolled' : 'unassigned',
      }));
      await releaseMachine(deps, machineId, name, generation);
      return after;
    },
    async move({ server: name, machine: machineRef }, by) {
      const server = await servers.get(name);
      const machine = await findMachine(deps, machineRef);
      await checkMove(deps, server, machine.id);
      return engine.submit({ kind: 'move', server: name, machineId: machine.id, requestedBy: by });
    },
  };
}

function assertServerName(name: string): void {
  if (isServerName(name)) return;
  throw invalid(
    `${JSON.stringify(name)} cannot name a server: it becomes a host name.`,
    'Use up to 63 lower-case letters, digits and dashes, with no dash at either end.',
  );
}

/** CONFLICT while an operation is open on the server. */
function assertIdle({ engine }: ControlDeps, name: string): void {
  const busy = engine.open().find((operation) => operation.server === name);
  if (busy === undefined) return;
  throw new OverdubError(
    'CONFLICT',
    `${name} is busy: ${busy.kind} ${busy.id} works on it.`,
    `Wait for it or cancel it: overdub operation cancel ${busy.id}.`,
  );
}

type Settings = Omit<CreateServer, 'name' | 'master'>;

async function assertSettings(
  { catalogue }: ControlDeps,
  name: string,
  { schedule, retention, excludes, bandwidth, compression, address }: Partial<Settings>,
): Promise<void> {
  if (schedule !== undefined) assertSchedule(schedule);
  if (retention !== undefined) assertRetention(retention);
  for (const exclude of excludes ?? []) assertExclude(exclude);
  if (bandwidth !== undefined && !(Number.isInteger(bandwidth) && bandwidth >= MIN_BANDWIDTH)) {
    throw invalid(`A bandwidth of ${bandwidth} bytes a second is too little.`, 'Write it as 500kB or 5MB.');
  }
  if (compression !== undefined && !isCompression(compression)) {
    throw invalid(
      `There is no compression ${JSON.stringify(compression)}.`,
      `Use ${COMPRESSIONS.join(' or ')}.`,
    );
  }
  if (address === undefined) return;
  if (!isIPv4(address))
    throw invalid(`${JSON.stringify(address)} is no IPv4 address.`, 'Write it as 10.0.0.17.');
  const other = (await catalogue.servers.list()).find(
    (each) => each.address === address && each.name !== name,
  );
  if (other === undefined) return;
  throw new OverdubError(
    'CONFLICT',
    `The address ${address} is reserved for ${other.name}.`,
    'Choose another address.',
  );
}

function assertSchedule({ everySeconds, jitterSeconds }: SnapshotSchedule): void {
  const good =
    Number.isFinite(everySeconds) &&
    everySeconds >= 1 &&
    Number.isFinite(jitterSeconds) &&
    jitterSeconds >= 0;
  if (!good) throw invalid('A schedule needs an interval of at least 1 s.', 'Write it as 20s, 15m or 6h.');
}

function assertRetention(retention: Partial<RetentionPolicy>): void {
  const known: readonly string[] = Object.keys(DEFAULT_RETENTION);
  for (const [rule, value] of Object.entries(retention)) {
    if (known.includes(rule) && Number.isInteger(value) && value >= 0) continue;
    throw invalid(
      `The retention rule ${rule} must be a whole number of at least 0.`,
      `Rules are ${known.join(', ')}.`,
    );
  }
}

function assertExclude(exclude: string): void {
  try {
    assertEntryPath(exclude.replace(/^\//, '').replace(/\/$/, ''));
  } catch (error) {
    throw invalid(
      `The exclude ${JSON.stringify(exclude)} is no path inside the server.`,
      'Write a pattern relative to the root, such as var/cache/**.',
      error,
    );
  }
}

function invalid(message: string, remedy: string, cause?: unknown): OverdubError {
  return new OverdubError('INPUT_INVALID', message, remedy, { cause });
}

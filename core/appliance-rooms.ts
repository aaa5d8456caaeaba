/** The rooms behind a running appliance, and how they hold on to one another. */

import { join } from 'node:path';
import type { Catalogue } from './catalogue/catalogue.ts';
import type { StateDirectory } from './catalogue/state-directory.ts';
import type { BlobStore } from './contracts/blob-store.ts';
import type { NetbootService } from './contracts/boot.ts';
import type { Clock } from './contracts/clock.ts';
import type { ApplianceControl, PluginStatus } from './contracts/control.ts';
import type { Gateway } from './contracts/gateway.ts';
import type { Log } from './contracts/log.ts';
import type { Repository } from './contracts/repository.ts';
import { createControl } from './control.ts';
import { OverdubError } from './errors.ts';
import { createGateway } from './gateway/gateway.ts';
import type { HookCalls } from './hooks/hooks.ts';
import { lateBound } from './late-bound.ts';
import { netbootService } from './netboot/service.ts';
import { sightings } from './netboot/sighting.ts';
import { agentPolicy } from './operations/agent-policy.ts';
import { allOperations } from './operations/all.ts';
import { bootWish } from './operations/boot-wish.ts';
import { controllers } from './operations/controller-facts.ts';
import { credentialIssuer } from './operations/credentials.ts';
import { createEngine, type Engine } from './operations/engine.ts';
import type { EventBus } from './operations/events.ts';
import { serverBook } from './operations/server-book.ts';
import type { OperationServices } from './operations/services.ts';
import type { PluginHost } from './plugin-host/host.ts';
import { powerService } from './power/power.ts';
import { VERSION } from './version.ts';

export interface RoomsDeps {
  readonly state: StateDirectory;
  readonly catalogue: Catalogue;
  readonly repository: Repository;
  readonly hooks: HookCalls;
  readonly host: PluginHost;
  readonly events: EventBus;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Rooms {
  readonly services: OperationServices;
  readonly engine: Engine;
  readonly gateway: Gateway;
  readonly netboot: NetbootService;
  readonly control: ApplianceControl;
}

/** What a file system says of a place that nobody could write to. */
const UNWRITABLE = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR']);

/** Asks the plugins for the repository's store. DRIVER_MISSING when none knows the URL; STATE_UNWRITABLE. */
export async function openStore(hooks: HookCalls, url: string): Promise<BlobStore> {
  const store = await hooks.call('storage.open', { url }).catch((error: unknown) => {
    throw unwritable(error, url);
  });
  if (store !== undefined) return store;
  throw new OverdubError(
    'DRIVER_MISSING',
    `No configured plugin opens the repository ${url}.`,
    'Add a storage plugin that knows this kind of URL, such as storage-local for file: URLs.',
  );
}

/** The plugin's failure, told as what it is where its cause says so. */
function unwritable(error: unknown, url: string): unknown {
  const { code, message } = (error as { cause?: { code?: string; message?: string } }).cause ?? {};
  if (code === undefined || !UNWRITABLE.has(code)) return error;
  return new OverdubError(
    'STATE_UNWRITABLE',
    `The repository ${url} cannot be used: ${message}.`,
    'Give this user the right to write there, or name another place: repository in the configuration, or --state.',
    { cause: error },
  );
}

/** Builds them over open records; nothing runs yet. */
export function buildRooms(deps: RoomsDeps): Rooms {
  const { state, catalogue, repository, hooks, host, events, clock, log } = deps;
  // Operations give orders to agents, agents ask operations: one of the two has to be bound later.
  const gatewayLater = lateBound<Gateway>('the agent gateway');
  const engineLater = lateBound<Engine>('the operations engine');
  const services: OperationServices = {
    catalogue,
    repository,
    agents: gatewayLater.face,
    servers: serverBook({ records: catalogue.servers, repository, events, log }),
    credentials: credentialIssuer(catalogue, state.key),
    clock,
    log,
    events,
    power: powerService({ hooks, clock, log }),
    openOperations: () => engineLater.face.open(),
    submit: (request) => engineLater.face.submit(request),
    wait: (id, options) => engineLater.face.wait(id, options),
    openSource: (path) => hooks.call('imaging.source', { path }),
  };
  const definitions = allOperations(services);
  const engine = createEngine({ records: catalogue.operations, definitions, clock, log, events });
  engineLater.bind(engine);
  const seen = sightings({ catalogue, hooks, clock, log, events });
  const asking = controllers({ ...services, readmit: seen.readmit });
  const policy = agentPolicy({
    ...services,
    engine,
    async seeMachine(sighting, claimed) {
      const machine = await seen.see(sighting, claimed);
      asking.inquire(machine);
      return machine;
    },
  });
  const { agentBundle } = host.contributions();
  const gateway = createGateway({
    policy,
    repository,
    clock,
    log,
    ...(agentBundle === undefined ? {} : { bundle: () => agentBundle(host.agentHalves()) }),
    codecs: () => hooks.call('diffing.codec', {}),
    // Not the system's temporary directory, which may be memory.
    spoolDir: join(state.path, 'spool'),
  });
  gatewayLater.bind(gateway);
  const netboot = netbootService({
    catalogue,
    sightings: seen,
    hooks,
    clock,
    log,
    bootWish: (machineId) => bootWish(engine.open(), machineId),
  });
  const control = createControl({
    ...services,
    engine,
    controllers: asking,
    version: VERSION,
    startedAt: new Date(clock.now()).toISOString(),
    state: state.path,
    plugins: (): PluginStatus[] => host.status(),
  });
  return { services, engine, gateway, netboot, control };
}

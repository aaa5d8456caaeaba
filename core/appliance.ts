/** The composition root: one appliance over one state directory, for the CLI and for embedders. */

import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { FastifyInstance } from 'fastify';
import { buildRooms, openStore, type Rooms } from './appliance-rooms.ts';
import { openCatalogue } from './catalogue/catalogue.ts';
import { openStateDirectory } from './catalogue/state-directory.ts';
import type { BlobStore } from './contracts/blob-store.ts';
import type { NetbootService } from './contracts/boot.ts';
import type { Clock } from './contracts/clock.ts';
import type { ApplianceConfig } from './contracts/config.ts';
import type { ApplianceControl } from './contracts/control.ts';
import type { Log } from './contracts/log.ts';
import { firstToken } from './control/tokens.ts';
import { OverdubError } from './errors.ts';
import { createHooks } from './hooks/attribution.ts';
import type { HookCalls } from './hooks/hooks.ts';
import { createHttpServer, listen } from './http-server.ts';
import { type LateBound, lateBound } from './late-bound.ts';
import { registerArtifacts } from './netboot/artifact-route.ts';
import { createEventBus, type EventBus } from './operations/events.ts';
import { createHost, type PluginHost } from './plugin-host/host.ts';
import { openRepository } from './repository/index.ts';
import { systemClock } from './scheduler/clock.ts';
import { startWatcher } from './scheduler/watcher.ts';
import { standardLog } from './standard-log.ts';

export interface ApplianceOptions {
  /** Where the appliance keeps everything of its own; made when missing. Overrules `config.state`. */
  readonly stateDir?: string;
  readonly clock?: Clock;
  /** Default: JSON lines on standard error, from `info` up. */
  readonly log?: Log;
}

export interface Appliance {
  /** Opens state, repository and port, starts the plugins, takes up open operations. Once. */
  start(): Promise<void>;
  /** Ends everything in reverse; open operations go on at the next start. Idempotent. */
  stop(): Promise<void>;
  /** Everything the API and CLI can do; usable between `start` and `stop`. */
  readonly control: ApplianceControl;
  /** Base URL of the HTTP listener, known once started: `http://127.0.0.1:7077`. */
  readonly url: string;
  /** The admin token's secret, on the very first start of a state directory only. */
  readonly firstToken: string | undefined;
}

const DEFAULT_PORT = 7077;
const NOTIFY_DRAIN_MS = 10_000;
/** Plugins whose presence means that machines have to reach us. */
const BOOT_PLUGIN = /^boot-/;

/** What `start` fills in, for plugins that were handed it at `apply`. */
interface Faces {
  readonly control: LateBound<ApplianceControl>;
  readonly netboot: LateBound<NetbootService>;
  port: number | undefined;
}

/**
 * Makes an appliance; validates the configuration and has every plugin tap, so that a wrong one fails here, before
 * anything is opened. No signal handlers, no globals: several appliances live in one process.
 * CONFIG_INVALID, PLUGIN_INCOMPATIBLE, PLUGIN_FAILED.
 */
export async function createAppliance(
  config: ApplianceConfig,
  options: ApplianceOptions = {},
): Promise<Appliance> {
  const state = options.stateDir ?? config.state;
  if (state === undefined) {
    throw new OverdubError(
      'CONFIG_INVALID',
      'The appliance has no state directory.',
      'Name one: --state DIR, or state in the configuration.',
    );
  }
  const stateDir = resolve(state);
  const clock = options.clock ?? systemClock;
  const log = options.log ?? standardLog();
  const faces: Faces = {
    control: lateBound<ApplianceControl>('the control face'),
    netboot: lateBound<NetbootService>('the netboot service'),
    port: undefined,
  };
  const hooks = createHooks((error) =>
    log.error({ plugin: error.plugin, hook: error.hook }, `a notifier failed: ${error.message}`),
  );
  const events = createEventBus({ clock, log, notify: (event) => hooks.call('notification.notify', event) });
  const host = createPluginHost(config, { stateDir, clock, log, hooks, events, faces });
  host.apply();
  return assemble({ config, stateDir, clock, log, hooks, events, host, faces });
}

interface Parts {
  readonly config: ApplianceConfig;
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly hooks: HookCalls;
  readonly events: EventBus;
  readonly host: PluginHost;
  readonly faces: Faces;
}

function createPluginHost(
  config: ApplianceConfig,
  { stateDir, clock, log, hooks, events, faces }: Omit<Parts, 'config' | 'host'>,
): PluginHost {
  return createHost({
    plugins: config.plugins,
    hooks,
    log,
    clock,
    onFailure: (plugin, error) =>
      events.emit('plugin.failed', { plugin }, `${plugin} failed: ${error.message}`, { code: error.code }),
    contextFor: ({ definition: { name } }) => {
      const directory = join(stateDir, 'plugins', name);
      return {
        name,
        log: pluginLog(log, name),
        clock,
        stateDir: directory,
        async ensureStateDir() {
          await mkdir(directory, { recursive: true, mode: 0o700 });
          return directory;
        },
        netboot: faces.netboot.face,
        http: {
          get port() {
            if (faces.port === undefined) throw new Error('the HTTP port is known from start on');
            return faces.port;
          },
        },
        control: faces.control.face,
      };
    },
  });
}

function assemble(parts: Parts): Appliance {
  const { config, faces, log } = parts;
  let running: AsyncDisposableStack | undefined;
  let state: 'made' | 'started' | 'stopped' = 'made';
  let secret: string | undefined;
  return {
    async start() {
      if (state !== 'made') throw new Error('an appliance starts once; make another one');
      state = 'started';
      const stack = new AsyncDisposableStack();
      try {
        secret = await bringUp(parts, stack);
        running = stack;
      } catch (error) {
        // What failed is what the caller must hear of; what fails on the way back is logged.
        await stack.disposeAsync().catch((late) => log.error({ error: String(late) }, 'unwinding failed'));
        throw error;
      }
    },
    async stop() {
      state = 'stopped';
      const stack = running;
      running = undefined;
      await stack?.disposeAsync();
    },
    control: faces.control.face,
    get url() {
      if (faces.port === undefined) throw new Error('the URL is known from start on');
      const host = hostOf(config);
      return `http://${host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host}:${faces.port}`;
    },
    get firstToken() {
      return secret;
    },
  };
}

/** Opens from the ground up; each thing opened says how it is closed. Resolves with the first token's secret. */
async function bringUp(parts: Parts, stack: AsyncDisposableStack): Promise<string | undefined> {
  const { config, clock, log, hooks, events, host, faces } = parts;
  const stateDir = parts.stateDir;
  const state = await openStateDirectory(stateDir);
  stack.defer(() => state.release());
  const catalogue = await openCatalogue(stateDir);
  stack.defer(() => catalogue.close());
  const store = await openStore(hooks, config.repository ?? pathToFileURL(join(stateDir, 'repository')).href);
  const repository = await openRepository({
    store,
    codecs: await hooks.call('diffing.codec', {}),
    choose: (request) => hooks.call('diffing.choose', request),
    stateDir: join(stateDir, 'index'),
    clock,
    log,
  });
  stack.defer(() => repository.close());
  const rooms = buildRooms({ state, catalogue, repository, hooks, host, events, clock, log });
  faces.control.bind(rooms.control);
  faces.netboot.bind(rooms.netboot);
  await rooms.services.servers.reconcile();
  const server = createHttpServer(log);
  stack.defer(() => server.close());
  stack.defer(() => rooms.gateway.close());
  await addRoutes(server, rooms, host);
  faces.port = await listen(server, hostOf(config), config.http?.port ?? DEFAULT_PORT);
  stack.defer(() => host.stop());
  await host.start();
  stack.defer(() => events.drain(NOTIFY_DRAIN_MS));
  stack.defer(() => rooms.engine.stop());
  await rooms.engine.resume();
  const watcher = watch(parts, rooms, store);
  stack.defer(() => watcher.stop());
  // Last: it is shown once, and a start that failed after making it would have shown it to nobody.
  return firstToken(catalogue, clock);
}

async function addRoutes(server: FastifyInstance, rooms: Rooms, host: PluginHost): Promise<void> {
  registerArtifacts(server, rooms.netboot);
  await rooms.gateway.register(server);
  for (const { prefix, register } of host.contributions().routes) {
    await server.register(async (scope) => register(scope), { prefix });
  }
}

function watch({ clock, log, events }: Parts, { services, engine }: Rooms, store: BlobStore) {
  return startWatcher({ ...services, clock, log, events, engine, space: () => store.space() });
}

function hostOf({ http, plugins }: ApplianceConfig): string {
  if (http?.host !== undefined) return http.host;
  return plugins.some(({ definition }) => BOOT_PLUGIN.test(definition.name)) ? '0.0.0.0' : '127.0.0.1';
}

/** Every line of a plugin's names it. */
function pluginLog(log: Log, plugin: string): Log {
  return {
    debug: (fields, message) => log.debug({ plugin, ...fields }, message),
    info: (fields, message) => log.info({ plugin, ...fields }, message),
    warn: (fields, message) => log.warn({ plugin, ...fields }, message),
    error: (fields, message) => log.error({ plugin, ...fields }, message),
  };
}

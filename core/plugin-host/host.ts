/** Runs plugins: validate → apply → start → stop, in configuration order and back. */

import type { AgentHalfSource } from '../contracts/agent-bundle.ts';
import type { Clock } from '../contracts/clock.ts';
import type { CommandContribution, PluginContext, RouteContribution } from '../contracts/context.ts';
import type { PluginStatus } from '../contracts/control.ts';
import type { Log } from '../contracts/log.ts';
import type { ConfiguredPlugin, PluginContributions } from '../contracts/plugin.ts';
import { OverdubError } from '../errors.ts';
import { attribute } from '../hooks/attribution.ts';
import type { HookCalls } from '../hooks/hooks.ts';
import { assertDistinctPrefixes, assertOneBundle } from './contributions.ts';
import { guardTaps } from './guarded-taps.ts';
import { DEFAULT_TIME_LIMIT_MS, withTimeLimit } from './time-limit.ts';
import { type ValidatedPlugin, validatePlugins } from './validate.ts';

/** The host gives each plugin its taps and a signal of its own; the rest comes from the appliance. */
export type PluginSurroundings = Omit<PluginContext, 'hooks' | 'signal'>;

export interface HostOptions {
  readonly plugins: readonly ConfiguredPlugin[];
  /** Called once a plugin. What it returns under `hooks` or `signal` is not used. */
  contextFor(plugin: ConfiguredPlugin): PluginSurroundings;
  readonly hooks: HookCalls;
  readonly log: Log;
  readonly clock: Clock;
  /** Told once of every optional plugin that became `failed` or `unavailable`. */
  readonly onFailure?: (plugin: string, error: OverdubError) => void;
}

export interface PluginHost {
  /** Validates, then has every plugin tap. Synchronous; nothing has been started when it throws. Once. */
  apply(): void;
  /** Starts in order. A required plugin's failure stops the started ones in reverse and rejects. */
  start(): Promise<void>;
  /** Stops in reverse, all of them, then rejects with the first failure if there was one. Idempotent. */
  stop(): Promise<void>;
  status(): PluginStatus[];
  /** What living plugins contribute, each with its plugin's name. */
  contributions(): {
    readonly routes: readonly (RouteContribution & { readonly plugin: string })[];
    readonly commands: readonly (CommandContribution & { readonly plugin: string })[];
    readonly agentBundle?: NonNullable<PluginContributions['agentBundle']>;
  };
  /** Agent halves of living plugins, in configuration order. */
  agentHalves(): AgentHalfSource[];
}

type State = PluginStatus['state'] | 'configured' | 'applying';

interface Hosted {
  readonly plugin: ValidatedPlugin;
  readonly name: string;
  readonly context: PluginContext;
  readonly abort: AbortController;
  state: State;
  contributions: PluginContributions;
  error?: OverdubError;
}

/** Makes a host. Nothing runs until `apply`. */
export function createHost(options: HostOptions): PluginHost {
  let hosted: readonly Hosted[] | undefined;
  const all = (): readonly Hosted[] => hosted ?? [];
  const living = (): readonly Hosted[] => all().filter((each) => !isDown(each));
  return {
    apply() {
      if (hosted !== undefined) throw new Error('PluginHost.apply() was called twice');
      hosted = validatePlugins(options.plugins).map((plugin) => host(plugin, options));
      for (const each of hosted) applyOne(each, hosted, options);
      assertDistinctPrefixes(routesOf(living()));
      assertOneBundle(living());
    },
    async start() {
      for (const each of all()) {
        if (isDown(each)) continue;
        try {
          await startOne(each, all(), options);
        } catch (error) {
          await stopAll(all(), options).catch(() => {});
          throw error;
        }
      }
    },
    stop: () => stopAll(all(), options),
    status: () => all().map(statusOf),
    contributions: () => contributionsOf(living()),
    agentHalves: () =>
      living().flatMap(({ name, plugin: { definition } }) => {
        const { agent, agentThreads: threads } = definition;
        return agent === undefined ? [] : [{ name, agent, ...(threads === undefined ? {} : { threads }) }];
      }),
  };
}

function host(plugin: ValidatedPlugin, options: HostOptions): Hosted {
  const name = plugin.definition.name;
  const given = options.contextFor(plugin);
  const abort = new AbortController();
  const hosted: Hosted = {
    plugin,
    name,
    abort,
    state: 'configured',
    contributions: {},
    context: {
      name,
      hooks: guardTaps(name, options.hooks.tapsFor(name), {
        mayTap: () => hosted.state === 'applying',
        mayAnswer: () => !isDown(hosted),
      }),
      signal: abort.signal,
      get log() {
        return given.log;
      },
      get clock() {
        return given.clock;
      },
      get stateDir() {
        return given.stateDir;
      },
      ensureStateDir: () => given.ensureStateDir(),
      get netboot() {
        return given.netboot;
      },
      get http() {
        return given.http;
      },
      get control() {
        return given.control;
      },
    },
  };
  return hosted;
}

function applyOne(each: Hosted, all: readonly Hosted[], options: HostOptions): void {
  try {
    assertRequiredAlive(each, all);
    each.state = 'applying';
    const returned: unknown = each.plugin.definition.apply(each.context, each.plugin.options);
    if (isThenable(returned)) throw asynchronousApply(each.name, returned);
    each.contributions = (returned as PluginContributions | undefined) ?? {};
    each.state = 'loaded';
  } catch (error) {
    fail(each, attribute(error, each.name, 'apply'), options);
  }
}

function asynchronousApply(name: string, returned: PromiseLike<unknown>): OverdubError {
  // Whatever it rejects with later has no one to go to.
  returned.then(undefined, () => {});
  return new OverdubError(
    'PLUGIN_FAILED',
    `${name} returned a promise from apply().`,
    'apply() must be synchronous: tap there, and do what takes time in start().',
    { plugin: name },
  );
}

async function startOne(each: Hosted, all: readonly Hosted[], options: HostOptions): Promise<void> {
  const { definition, options: pluginOptions } = each.plugin;
  try {
    assertRequiredAlive(each, all);
    const starting = (async () => definition.start?.(each.context, pluginOptions))();
    await withTimeLimit(
      starting,
      { plugin: each.name, phase: 'start', limitMs: definition.timeLimits?.startMs ?? DEFAULT_TIME_LIMIT_MS },
      options.clock,
    ).catch((error) => {
      stopWhenLate(each, starting, error, options);
      throw error;
    });
    each.state = 'running';
    options.log.debug({ plugin: each.name }, 'plugin started');
  } catch (error) {
    each.abort.abort();
    fail(each, attribute(error, each.name, 'start'), options);
  }
}

/** A start that comes to its end after its time limit is undone, so that nothing it opened is left behind. */
function stopWhenLate(each: Hosted, starting: Promise<void>, error: unknown, options: HostOptions): void {
  if (!(error instanceof OverdubError) || error.code !== 'PLUGIN_TIMEOUT') return;
  starting
    .then(() => each.plugin.definition.stop?.(each.context, each.plugin.options))
    .catch((late) => options.log.warn({ plugin: each.name, error: String(late) }, 'late start failed'));
}

/** Optional: shown as failed and survived. Required: rejects. */
function fail(each: Hosted, error: OverdubError, options: HostOptions): void {
  each.error = error;
  each.state = error.code === 'PREREQUISITE_MISSING' ? 'unavailable' : 'failed';
  each.abort.abort();
  if (!each.plugin.optional) throw error;
  options.log.warn({ plugin: each.name, code: error.code }, `optional plugin failed: ${error.message}`);
  options.onFailure?.(each.name, error);
}

function assertRequiredAlive(each: Hosted, all: readonly Hosted[]): void {
  const required = each.plugin.definition.requires ?? [];
  const down = all.find((other) => required.includes(other.name) && isDown(other));
  if (down === undefined) return;
  throw new OverdubError(
    'PLUGIN_FAILED',
    `${each.name} requires ${down.name}, which failed: ${down.error?.message ?? down.state}`,
    down.error?.remedy ?? `Repair ${down.name} first.`,
    { plugin: each.name },
  );
}

async function stopAll(all: readonly Hosted[], options: HostOptions): Promise<void> {
  let first: OverdubError | undefined;
  for (const each of all.toReversed()) {
    const wasRunning = each.state === 'running';
    if (isDown(each)) continue;
    each.abort.abort();
    if (wasRunning) {
      const error = await stopOne(each, options);
      first ??= error;
    }
    each.state = 'stopped';
  }
  if (first !== undefined) throw first;
}

async function stopOne(each: Hosted, options: HostOptions): Promise<OverdubError | undefined> {
  const { definition, options: pluginOptions } = each.plugin;
  try {
    await withTimeLimit(
      (async () => definition.stop?.(each.context, pluginOptions))(),
      { plugin: each.name, phase: 'stop', limitMs: definition.timeLimits?.stopMs ?? DEFAULT_TIME_LIMIT_MS },
      options.clock,
    );
    return undefined;
  } catch (error) {
    const attributed = attribute(error, each.name, 'stop');
    each.error = attributed;
    options.log.error({ plugin: each.name, code: attributed.code }, attributed.message);
    return attributed;
  }
}

function contributionsOf(hosted: readonly Hosted[]): ReturnType<PluginHost['contributions']> {
  const agentBundle = hosted.find((each) => each.contributions.agentBundle)?.contributions.agentBundle;
  return {
    routes: routesOf(hosted),
    commands: hosted.flatMap(({ name, contributions }) =>
      (contributions.commands ?? []).map((command) => ({ ...command, plugin: name })),
    ),
    ...(agentBundle === undefined ? {} : { agentBundle }),
  };
}

function routesOf(hosted: readonly Hosted[]): readonly (RouteContribution & { readonly plugin: string })[] {
  return hosted.flatMap(({ name, contributions }) =>
    (contributions.routes ?? []).map((route) => ({
      plugin: name,
      prefix: route.prefix,
      register: (server) => route.register(server),
    })),
  );
}

function statusOf({ name, plugin, state, error }: Hosted): PluginStatus {
  return {
    name,
    state: state === 'configured' || state === 'applying' ? 'loaded' : state,
    optional: plugin.optional,
    ...(error === undefined ? {} : { error: error.message }),
  };
}

function isDown({ state }: Hosted): boolean {
  return state === 'failed' || state === 'unavailable' || state === 'stopped';
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}

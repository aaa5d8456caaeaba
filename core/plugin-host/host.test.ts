import { setTimeout as delay } from 'node:timers/promises';
import { Type } from 'typebox';
import { describe, expect, test } from 'vitest';
import type { Clock } from '../contracts/clock.ts';
import type { ConfiguredPlugin, PluginDefinition } from '../contracts/plugin.ts';
import { OverdubError } from '../errors.ts';
import { createHooks } from '../hooks/attribution.ts';
import { createHost, type PluginHost, type PluginSurroundings } from './host.ts';
import { definePlugin } from './plugin.ts';

const NO_OPTIONS = Type.Object({});
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const clock: Clock = { now: () => 0, sleep: (ms, signal) => delay(ms, undefined, signal ? { signal } : {}) };

function surroundings(name: string): PluginSurroundings {
  const missing = (what: string) => new Error(`the test gives no ${what}`);
  return {
    name,
    log: quiet,
    clock,
    stateDir: `/nonexistent/${name}`,
    ensureStateDir: () => Promise.reject(missing('state directory')),
    get netboot(): never {
      throw missing('netboot');
    },
    http: { port: 0 },
    get control(): never {
      throw missing('control');
    },
  };
}

function plugin(
  name: string,
  definition: Partial<PluginDefinition<typeof NO_OPTIONS>> = {},
  optional = false,
): ConfiguredPlugin {
  return definePlugin({
    name,
    apiVersion: '^1.0.0',
    options: NO_OPTIONS,
    apply: () => undefined,
    ...definition,
  })({}, { optional });
}

function hostOf(...plugins: ConfiguredPlugin[]) {
  const hooks = createHooks(() => {});
  const failures: string[] = [];
  const host = createHost({
    plugins,
    contextFor: (each) => surroundings(each.definition.name),
    hooks,
    log: quiet,
    clock,
    onFailure: (name, error) => failures.push(`${name}: ${error.code}`),
  });
  return { host, hooks, failures };
}

/** Plugins that write down when they start and stop. */
function recorder() {
  const log: string[] = [];
  const make = (
    name: string,
    definition: Partial<PluginDefinition<typeof NO_OPTIONS>> = {},
    optional = false,
  ) =>
    plugin(
      name,
      {
        start: async () => void log.push(`start ${name}`),
        stop: async () => void log.push(`stop ${name}`),
        ...definition,
      },
      optional,
    );
  return { log, make };
}

const states = (host: PluginHost) => host.status().map(({ name, state }) => `${name} ${state}`);

async function codeOf(work: () => unknown): Promise<OverdubError> {
  try {
    await work();
  } catch (error) {
    expect(error).toBeInstanceOf(OverdubError);
    return error as OverdubError;
  }
  throw new Error('nothing was thrown');
}

describe('life cycle', () => {
  test('starts in configuration order and stops in reverse', async () => {
    const { log, make } = recorder();
    const { host } = hostOf(make('a'), make('b'), make('c'));
    host.apply();
    await host.start();
    expect(states(host)).toEqual(['a running', 'b running', 'c running']);
    await host.stop();
    await host.stop();
    expect(log).toEqual(['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a']);
    expect(states(host)).toEqual(['a stopped', 'b stopped', 'c stopped']);
  });

  test('apply starts nothing', () => {
    const { log, make } = recorder();
    const { host } = hostOf(make('a'));
    host.apply();
    expect(log).toEqual([]);
    expect(states(host)).toEqual(['a loaded']);
  });

  test('a required plugin that fails to start stops the started ones in reverse and names itself', async () => {
    const { log, make } = recorder();
    const broken = make('c', { start: () => Promise.reject(new Error('port 67 is taken')) });
    const { host } = hostOf(make('a'), make('b'), broken, make('d'));
    host.apply();
    const error = await codeOf(() => host.start());
    expect(error).toMatchObject({ code: 'PLUGIN_FAILED', plugin: 'c', hook: 'start' });
    expect(error.message).toContain('port 67 is taken');
    expect(log).toEqual(['start a', 'start b', 'stop b', 'stop a']);
  });

  test('a coded error keeps its code', async () => {
    const { host } = hostOf(
      plugin('a', {
        start: () => Promise.reject(new OverdubError('PORT_UNAVAILABLE', 'port 67 is taken', 'free it')),
      }),
    );
    host.apply();
    expect(await codeOf(() => host.start())).toMatchObject({
      code: 'PORT_UNAVAILABLE',
      plugin: 'a',
      remedy: 'free it',
    });
  });

  test('the signal aborts before stop is called', async () => {
    const seen: boolean[] = [];
    const { host } = hostOf(plugin('a', { stop: async (ctx) => void seen.push(ctx.signal.aborted) }));
    host.apply();
    await host.start();
    await host.stop();
    expect(seen).toEqual([true]);
  });

  test('one failing stop does not keep the others from stopping', async () => {
    const { log, make } = recorder();
    const { host } = hostOf(
      make('a'),
      make('b', { stop: () => Promise.reject(new Error('stuck')) }),
      make('c'),
    );
    host.apply();
    await host.start();
    const error = await codeOf(() => host.stop());
    expect(error).toMatchObject({ plugin: 'b', hook: 'stop' });
    expect(log.slice(3)).toEqual(['stop c', 'stop a']);
  });
});

describe('time limits', () => {
  test('a start that never ends is PLUGIN_TIMEOUT and names the plugin', async () => {
    const { host } = hostOf(
      plugin('slow', { start: () => new Promise(() => {}), timeLimits: { startMs: 20 } }),
    );
    host.apply();
    const error = await codeOf(() => host.start());
    expect(error).toMatchObject({ code: 'PLUGIN_TIMEOUT', plugin: 'slow' });
    expect(error.message).toBe('slow did not start within 0.02 s.');
  });

  test('a start that ends too late is undone', async () => {
    const stopped = Promise.withResolvers<void>();
    const { host } = hostOf(
      plugin(
        'late',
        { start: () => delay(40), stop: async () => stopped.resolve(), timeLimits: { startMs: 5 } },
        true,
      ),
    );
    host.apply();
    await host.start();
    expect(states(host)).toEqual(['late failed']);
    await stopped.promise;
  });

  test('a stop that never ends is PLUGIN_TIMEOUT, and the others still stop', async () => {
    const { log, make } = recorder();
    const stuck = make('stuck', { stop: () => new Promise(() => {}), timeLimits: { stopMs: 20 } });
    const { host } = hostOf(make('a'), stuck);
    host.apply();
    await host.start();
    expect(await codeOf(() => host.stop())).toMatchObject({ code: 'PLUGIN_TIMEOUT', plugin: 'stuck' });
    expect(log).toContain('stop a');
  });
});

describe('optional plugins', () => {
  test('a failing start is shown and survived', async () => {
    const { log, make } = recorder();
    const broken = make('b', { start: () => Promise.reject(new Error('no such device')) }, true);
    const { host, failures } = hostOf(make('a'), broken, make('c'));
    host.apply();
    await host.start();
    expect(states(host)).toEqual(['a running', 'b failed', 'c running']);
    expect(host.status()[1]?.error).toContain('no such device');
    expect(failures).toEqual(['b: PLUGIN_FAILED']);
    await host.stop();
    expect(log).toEqual(['start a', 'start c', 'stop c', 'stop a']);
  });

  test('a missing prerequisite makes it unavailable', async () => {
    const missing = new OverdubError(
      'PREREQUISITE_MISSING',
      'xdelta3 is not installed',
      'apt install xdelta3',
    );
    const { host } = hostOf(plugin('a', { start: () => Promise.reject(missing) }, true));
    host.apply();
    await host.start();
    expect(states(host)).toEqual(['a unavailable']);
  });

  test('the taps of a failed one stop answering', async () => {
    const answering = (
      answer: string,
      start?: () => Promise<void>,
    ): Partial<PluginDefinition<typeof NO_OPTIONS>> => ({
      apply: (ctx) => {
        ctx.hooks.diffing.choose.tap(() => ({ codec: answer }));
        return undefined;
      },
      ...(start === undefined ? {} : { start }),
    });
    const { host, hooks } = hostOf(
      plugin(
        'a',
        answering('from-a', () => Promise.reject(new Error('broken'))),
        true,
      ),
      plugin('b', answering('from-b')),
    );
    host.apply();
    const ask = () => hooks.call('diffing.choose', { targetBytes: 1, wholeBytes: 1, candidates: [] });
    expect(await ask()).toEqual({ codec: 'from-a' });
    await host.start();
    expect(await ask()).toEqual({ codec: 'from-b' });
    await host.stop();
    expect(await ask()).toBeUndefined();
  });

  test('a failing apply is survived; one that requires it fails too and says why', async () => {
    const { host } = hostOf(
      plugin(
        'base',
        {
          apply: () => {
            throw new Error('bad day');
          },
        },
        true,
      ),
      plugin('upper', { requires: ['base'] }, true),
    );
    host.apply();
    await host.start();
    expect(states(host)).toEqual(['base failed', 'upper failed']);
    expect(host.status()[1]?.error).toMatch(/upper requires base, which failed: .*bad day/);
  });

  test('its contributions and agent half go with it', () => {
    const contributing = (name: string, fails: boolean, optional: boolean) =>
      plugin(
        name,
        {
          agent: new URL(`file:///${name}.ts`),
          apply: () => {
            if (fails) throw new Error('bad');
            return { routes: [{ prefix: `/${name}`, register() {} }] };
          },
        },
        optional,
      );
    const { host } = hostOf(contributing('a', true, true), contributing('b', false, false));
    host.apply();
    expect(host.contributions().routes.map(({ plugin: owner, prefix }) => [owner, prefix])).toEqual([
      ['b', '/b'],
    ]);
    expect(host.agentHalves()).toEqual([{ name: 'b', agent: new URL('file:///b.ts') }]);
  });

  test('the programs that its half starts on threads go with that', () => {
    const agentThreads = { digger: new URL('file:///digger.ts') };
    const { host } = hostOf(plugin('a', { agent: new URL('file:///a.ts'), agentThreads }));
    host.apply();
    const [half] = host.agentHalves();
    expect(half).toEqual({ name: 'a', agent: new URL('file:///a.ts'), threads: agentThreads });
  });
});

describe('apply', () => {
  test.each([
    ['bot', 'plan', /asks for bot, which is no hook group/],
    ['boot', 'plann', /asks for boot\.plann, which is no hook/],
  ])('%s.%s, misspelt, is told with the names that there are', async (group, verb, message) => {
    const misspelling = plugin('site', {
      apply(ctx) {
        (ctx.hooks as unknown as Record<string, Record<string, { tap(handler: unknown): void }>>)[group]?.[
          verb
        ]?.tap(() => undefined);
        return undefined;
      },
    });
    const { host } = hostOf(misspelling);
    expect(await codeOf(() => host.apply())).toMatchObject({
      code: 'PLUGIN_FAILED',
      message: expect.stringMatching(message),
      remedy: expect.stringContaining('boot'),
    });
  });

  test('refuses a promise', async () => {
    const asynchronous = (async () => undefined) as unknown as () => undefined;
    const { host } = hostOf(plugin('a', { apply: asynchronous }));
    const error = await codeOf(() => host.apply());
    expect(error).toMatchObject({ code: 'PLUGIN_FAILED', plugin: 'a' });
    expect(error.message).toContain('promise');
  });

  test('refuses taps outside it', async () => {
    const { host } = hostOf(plugin('a', { start: async (ctx) => ctx.hooks.boot.plan.tap(() => undefined) }));
    host.apply();
    const error = await codeOf(() => host.start());
    expect(error).toMatchObject({ code: 'PLUGIN_FAILED', plugin: 'a', hook: 'boot.plan' });
  });

  test('refuses overlapping route prefixes and names both plugins', async () => {
    const serving = (name: string, prefix: string) =>
      plugin(name, { apply: () => ({ routes: [{ prefix, register() {} }] }) });
    const { host } = hostOf(serving('a', '/api'), serving('b', '/api/console'));
    const error = await codeOf(() => host.apply());
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toBe('b serves /api/console, which overlaps /api of a.');
  });

  test('one plugin builds the agent’s program, two are refused', async () => {
    const bundle = () => Promise.reject(new Error('not built here'));
    const building = (name: string) => plugin(name, { apply: () => ({ agentBundle: bundle }) });
    const { host } = hostOf(plugin('other'), building('a'));
    host.apply();
    expect(host.contributions().agentBundle).toBe(bundle);
    const error = await codeOf(() => hostOf(building('a'), building('b')).host.apply());
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', plugin: 'b' });
  });

  test('gives the options with defaults filled in', () => {
    let seen: unknown;
    const options = Type.Object({ port: Type.Integer({ default: 69 }) });
    const configured = definePlugin({
      name: 'a',
      apiVersion: '^1.0.0',
      options,
      apply: (_ctx, given) => {
        seen = given;
        return undefined;
      },
    })();
    hostOf(configured).host.apply();
    expect(seen).toEqual({ port: 69 });
  });
});

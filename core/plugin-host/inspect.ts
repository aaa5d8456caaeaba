/** Looks at a configuration without starting it: for `config check`, `plugin list` and plugins' own commands. */

import { isAbsolute } from 'node:path';
import type { AgentBundle, AgentHalfSource } from '../contracts/agent-bundle.ts';
import type { Clock } from '../contracts/clock.ts';
import type { ApplianceConfig } from '../contracts/config.ts';
import type { CommandContribution } from '../contracts/context.ts';
import type { PluginStatus } from '../contracts/control.ts';
import type { DeltaCodec } from '../contracts/delta-codec.ts';
import type { Log } from '../contracts/log.ts';
import { OverdubError } from '../errors.ts';
import { createHooks } from '../hooks/attribution.ts';
import { HOOK_NAMES, type HookName } from '../hooks/hooks.ts';
import { createHost } from './host.ts';
import type { SchemaNode } from './schema.ts';
import { ensurePluginStateDir, pluginStateDir } from './state-dir.ts';

export interface Inspection {
  readonly plugins: readonly (PluginStatus & {
    readonly hooks: readonly HookName[];
    readonly options: SchemaNode;
  })[];
  readonly commands: readonly (CommandContribution & { readonly plugin: string })[];
  readonly routes: readonly { readonly plugin: string; readonly prefix: string }[];
  /** Agent halves, for commands that bundle them. */
  readonly agentHalves: readonly AgentHalfSource[];
  /** The program of these halves as machines fetch it; absent when no plugin makes one. */
  readonly agentBundle?: () => Promise<AgentBundle>;
  /** The codecs that the plugins' taps of `diffing.codec` give, for commands on files. */
  codecs(): Promise<readonly DeltaCodec[]>;
}

/**
 * Validates and applies every plugin; starts none, touches nothing. Throws what a start would throw:
 * CONFIG_INVALID, PLUGIN_INCOMPATIBLE, PLUGIN_FAILED. Commands may use their plugin's state directory below
 * `state`, but find no running appliance.
 */
export function inspectPlugins(
  config: ApplianceConfig,
  surroundings: { readonly state: string; readonly log: Log; readonly clock: Clock },
): Inspection {
  const { state, log, clock } = surroundings;
  if (!isAbsolute(state)) throw new TypeError('the state directory must be an absolute path');
  const hooks = createHooks(() => {});
  const host = createHost({
    plugins: config.plugins,
    hooks,
    log,
    clock,
    contextFor: ({ definition: { name } }) => ({
      name,
      log,
      clock,
      stateDir: pluginStateDir(state, name),
      ensureStateDir: () => ensurePluginStateDir(state, name),
      netboot: absent(name, 'netboot'),
      http: absent(name, 'http'),
      control: absent(name, 'control'),
    }),
  });
  host.apply();
  const { commands, routes, agentBundle } = host.contributions();
  return {
    plugins: host.status().map((status, index) => ({
      ...status,
      hooks: HOOK_NAMES.filter((hook) => hooks.tapped(hook).includes(status.name)),
      options: (config.plugins[index]?.definition.options ?? {}) as SchemaNode,
    })),
    commands,
    routes: routes.map(({ plugin, prefix }) => ({ plugin, prefix })),
    agentHalves: host.agentHalves(),
    ...(agentBundle === undefined ? {} : { agentBundle: () => agentBundle(host.agentHalves()) }),
    codecs: () => hooks.call('diffing.codec', {}),
  };
}

/** May be passed on in apply(), but not used. */
function absent<T extends object>(plugin: string, what: string): T {
  return new Proxy({} as T, {
    get() {
      throw notRunning(plugin, what);
    },
  });
}

function notRunning(plugin: string, what: string): OverdubError {
  return new OverdubError(
    'PLUGIN_FAILED',
    `${plugin} used ctx.${what}, but no appliance runs in this process.`,
    'apply() may only tap; use ctx.control, ctx.netboot and ctx.http from start() on.',
    { plugin },
  );
}

/** What {@link definePlugin} takes and returns. */

import type { Static, TSchema } from 'typebox';
import type { AgentBundle, AgentHalfSource } from './agent-bundle.ts';
import type { CommandContribution, PluginContext, RouteContribution } from './context.ts';

export interface PluginDefinition<S extends TSchema> {
  /** Equal to the plugin's folder; `<axis>-<mechanism>`. */
  readonly name: string;
  /** Semver range of the core API it was written for, e.g. `^1.0.0`. */
  readonly apiVersion: string;
  /** Names of plugins that must be configured before this one. */
  readonly requires?: readonly string[];
  /** TypeBox schema: validates, types, documents. */
  readonly options: S;
  /** Absolute URL of the plugin's agent half (`import.meta.resolve`-able file URL), bundled for machines. */
  readonly agent?: URL;
  /** Programs that this half starts on threads of its own, by name: in the bundle each is one file, `<plugin>-<name>.mjs`. */
  readonly agentThreads?: Readonly<Record<string, URL>>;
  /** Taps only: synchronous, no I/O, so that a configuration can be checked without starting. */
  apply(ctx: PluginContext, options: Static<S>): PluginContributions | undefined;
  start?(ctx: PluginContext, options: Static<S>): Promise<void>;
  stop?(ctx: PluginContext, options: Static<S>): Promise<void>;
  /** Default 30 s each. */
  readonly timeLimits?: { readonly startMs?: number; readonly stopMs?: number };
}

/** Declared data besides taps. */
export interface PluginContributions {
  readonly routes?: readonly RouteContribution[];
  readonly commands?: readonly CommandContribution[];
  /**
   * Builds the program that machines fetch and start, the given halves included. At most one plugin contributes
   * it; asked again whenever an agent needs the bundle, so it caches by its inputs.
   */
  readonly agentBundle?: (halves: readonly AgentHalfSource[]) => Promise<AgentBundle>;
}

/** One entry of `plugins: […]`. */
export interface ConfiguredPlugin {
  readonly definition: PluginDefinition<TSchema>;
  readonly options: unknown;
  /** A failing optional plugin becomes `failed` and is shown so; the appliance goes on. */
  readonly optional: boolean;
}

/** The factory a plugin's index exports by default. */
export type PluginFactory<S extends TSchema> = (
  options?: Static<S>,
  settings?: { optional?: boolean },
) => ConfiguredPlugin;

/** What can be said of a list of plugins before any of them runs. */

import type { ConfiguredPlugin } from '../contracts/plugin.ts';
import { nearest } from '../domain/nearest.ts';
import { satisfies } from '../domain/version-range.ts';
import { OverdubError } from '../errors.ts';
import { checkOptions } from './options.ts';
import { API_VERSION } from './plugin.ts';

/** A configured plugin whose options have been checked and completed with their defaults. */
export interface ValidatedPlugin extends ConfiguredPlugin {
  readonly options: unknown;
}

/**
 * Checks shape, names, versions, `requires` and options, in that order, and stops at the first mistake:
 * CONFIG_INVALID or PLUGIN_INCOMPATIBLE. Nothing of a plugin's code runs.
 */
export function validatePlugins(plugins: readonly ConfiguredPlugin[]): readonly ValidatedPlugin[] {
  plugins.forEach(assertPlugin);
  plugins.forEach(assertComplete);
  const names = plugins.map((plugin) => plugin.definition.name);
  names.forEach((name, index) => {
    if (names.indexOf(name) !== index) throw duplicate(name);
  });
  for (const [index, plugin] of plugins.entries()) {
    assertApiVersion(plugin);
    for (const required of plugin.definition.requires ?? []) {
      assertRequired(names[index] as string, required, names, index);
    }
  }
  return plugins.map((plugin) => ({
    ...plugin,
    options: checkOptions(plugin.definition.name, plugin.definition.options, plugin.options),
  }));
}

function assertPlugin(plugin: ConfiguredPlugin, index: number): void {
  const definition = (plugin as { definition?: { name?: unknown; apply?: unknown } } | undefined)?.definition;
  if (typeof definition?.name === 'string' && typeof definition.apply === 'function') return;
  const isFactory = typeof plugin === 'function';
  throw new OverdubError(
    'CONFIG_INVALID',
    `plugins[${index}] is ${isFactory ? 'a plugin factory that was not called' : 'not a plugin'}.`,
    isFactory ? 'Call it: `plugins: [boot(), …]`.' : 'Put there what a definePlugin() factory returns.',
  );
}

/** A plugin in plain JavaScript may leave out what the compiler would have asked for. */
function assertComplete({ definition }: ConfiguredPlugin): void {
  const mistake = mistakeIn(definition);
  if (mistake === undefined) return;
  const { name } = definition;
  throw new OverdubError(
    'PLUGIN_INCOMPATIBLE',
    `${name} ${mistake.what}.`,
    `Its author should write ${mistake.instead} into what definePlugin() takes.`,
    { plugin: name },
  );
}

function mistakeIn(definition: {
  readonly apiVersion?: unknown;
  readonly options?: unknown;
  readonly requires?: unknown;
}): { readonly what: string; readonly instead: string } | undefined {
  const { apiVersion, options, requires = [] } = definition;
  if (typeof apiVersion !== 'string')
    return { what: 'has no apiVersion', instead: `a semver range such as \`apiVersion: '^${API_VERSION}'\`` };
  if (typeof options !== 'object' || options === null)
    return {
      what: 'has no schema of its options',
      instead: '`options: Type.Object({})`, where it has none,',
    };
  if (!Array.isArray(requires) || !requires.every((name) => typeof name === 'string'))
    return {
      what: 'requires something else than plugins by name',
      instead: "a list such as `requires: ['diff-rsync']`",
    };
  return undefined;
}

function duplicate(name: string): OverdubError {
  return new OverdubError(
    'CONFIG_INVALID',
    `The plugin ${name} is configured twice.`,
    'Keep one of the two entries and merge their options.',
    { plugin: name },
  );
}

function assertApiVersion({ definition: { name, apiVersion } }: ConfiguredPlugin): void {
  const fits = satisfies(API_VERSION, apiVersion);
  if (fits === true) return;
  throw new OverdubError(
    'PLUGIN_INCOMPATIBLE',
    fits === undefined
      ? `${name} declares the apiVersion ${JSON.stringify(apiVersion)}, which is not a semver range.`
      : `${name} was written for version ${apiVersion} of the plugin API; this is ${API_VERSION}.`,
    fits === undefined
      ? `Its author should write a range such as \`^${API_VERSION}\`.`
      : 'Install a version of the plugin that fits, or another version of Overdub.',
    { plugin: name },
  );
}

function assertRequired(name: string, required: string, names: readonly string[], index: number): void {
  const at = names.indexOf(required);
  if (at !== -1 && at < index) return;
  const guess = at === -1 ? nearest(required, names) : undefined;
  throw new OverdubError(
    'PLUGIN_INCOMPATIBLE',
    at === -1
      ? `${name} requires the plugin ${required}, which is not configured.${guess === undefined ? '' : ` (${guess} is.)`}`
      : `${name} requires the plugin ${required}, which is configured after it.`,
    at === -1
      ? `Add ${required} before ${name}, or remove ${name}.`
      : `Move ${required} before ${name}: load order is configuration order.`,
    { plugin: name },
  );
}

/** Plugins of JSON and YAML configurations, which can only name them. */

import { dirname, isAbsolute, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Static, Type } from 'typebox';
import type { ConfiguredPlugin, PluginFactory } from '../contracts/plugin.ts';
import { OverdubError } from '../errors.ts';
import { importFrom } from './import-from.ts';

/** `{ plugin: 'boot-pxe', options: {…}, optional: true }` */
export const NamedPlugin = Type.Object({
  plugin: Type.String({ minLength: 1, description: 'Name, package or ./path of the plugin' }),
  options: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  optional: Type.Optional(Type.Boolean()),
});
export type NamedPlugin = Static<typeof NamedPlugin>;

/**
 * Imports the plugin and calls its factory. `boot-pxe` is `@overdub/boot-pxe`, or a package of just that name;
 * `./mine.ts` is a file beside the configuration. CONFIG_INVALID when there is none.
 */
export async function pluginFromName(entry: NamedPlugin, configFile: string): Promise<ConfiguredPlugin> {
  const module = await importFirst(entry.plugin, specifiersOf(entry.plugin, configFile), configFile);
  const factory = (module as { default?: unknown }).default;
  if (typeof factory !== 'function') {
    throw new OverdubError(
      'CONFIG_INVALID',
      `The module of the plugin ${entry.plugin} does not export a plugin by default.`,
      'Its index should say `export default definePlugin({…});`.',
    );
  }
  const settings = entry.optional === undefined ? {} : { optional: entry.optional };
  return (factory as PluginFactory<never>)((entry.options ?? {}) as never, settings);
}

function specifiersOf(name: string, configFile: string): readonly string[] {
  if (name.startsWith('.') || isAbsolute(name))
    return [pathToFileURL(resolve(dirname(configFile), name)).href];
  return name.startsWith('@') ? [name] : [`@overdub/${name}`, name];
}

async function importFirst(
  name: string,
  specifiers: readonly string[],
  configFile: string,
): Promise<unknown> {
  for (const specifier of specifiers) {
    try {
      return await importFrom(specifier, configFile);
    } catch (error) {
      if (isMissing(error, specifier)) continue;
      const message = error instanceof Error ? error.message : String(error);
      throw new OverdubError(
        'CONFIG_INVALID',
        `The plugin ${name} cannot be loaded: ${message}`,
        'Repair or reinstall the plugin, or remove it from the configuration.',
        { cause: error },
      );
    }
  }
  throw new OverdubError(
    'CONFIG_INVALID',
    `The plugin ${name} is not installed (looked for ${specifiers.join(' and ')}).`,
    'Check the spelling, or install its package beside the configuration file.',
  );
}

/** Is it the plugin itself that is missing, rather than something that the plugin imports? */
function isMissing(error: unknown, specifier: string): boolean {
  if (!(error instanceof Error) || (error as { code?: unknown }).code !== 'ERR_MODULE_NOT_FOUND')
    return false;
  const bare = specifier.startsWith('file:') ? new URL(specifier).pathname : specifier;
  return error.message.includes(`'${bare}'`) && !error.message.includes(`imported from ${bare}`);
}

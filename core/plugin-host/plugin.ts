import type { Static, TSchema } from 'typebox';
import type { ApplianceConfig } from '../contracts/config.ts';
import type { PluginDefinition, PluginFactory } from '../contracts/plugin.ts';

/** Version of the plugin API, matched against each plugin's `apiVersion`. */
export const API_VERSION = '1.0.0';

/** Makes a plugin's factory. Pure: nothing runs until a host applies what the factory returns. */
export function definePlugin<S extends TSchema>(definition: PluginDefinition<S>): PluginFactory<S> {
  return (options?: Static<S>, settings: { optional?: boolean } = {}) => ({
    definition: definition as unknown as PluginDefinition<TSchema>,
    options: options ?? {},
    optional: settings.optional ?? false,
  });
}

/** Typed identity for `overdub.config.ts`. */
export function defineConfig(config: ApplianceConfig): ApplianceConfig {
  return config;
}

/** Finds and loads `overdub.config.ts` (.js, .mjs, .json, .yaml). */

import { access, readFile } from 'node:fs/promises';
import { basename, dirname, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Type } from 'typebox';
import { parse as parseYaml } from 'yaml';
import type { ApplianceConfig } from '../contracts/config.ts';
import type { ConfiguredPlugin } from '../contracts/plugin.ts';
import { OverdubError } from '../errors.ts';
import { importFrom } from './import-from.ts';
import { checkFileKeys } from './options.ts';
import { NamedPlugin, pluginFromName } from './plugin-by-name.ts';

const EXTENSIONS = ['.ts', '.mjs', '.js', '.json', '.yaml', '.yml'] as const;

const FileKeys = Type.Object({
  plugins: Type.Array(Type.Any()),
  state: Type.Optional(
    Type.String({ minLength: 1, description: 'Where the appliance keeps everything of its own' }),
  ),
  http: Type.Optional(
    Type.Object({
      host: Type.Optional(Type.String({ minLength: 1 })),
      port: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535 })),
    }),
  ),
  repository: Type.Optional(Type.String({ minLength: 1, description: 'Repository URL' })),
});

const NamedPlugins = Type.Object({ plugins: Type.Array(Type.Union([Type.String(), NamedPlugin])) });

/** The configuration file of a folder; `undefined` when there is none, CONFIG_INVALID when there are several. */
export async function findConfig(folder: string): Promise<string | undefined> {
  const candidates = EXTENSIONS.map((extension) => resolve(folder, `overdub.config${extension}`));
  const present = await Promise.all(candidates.map(exists));
  const found = candidates.filter((_, index) => present[index]);
  if (found.length < 2) return found[0];
  throw new OverdubError(
    'CONFIG_INVALID',
    `There are several configuration files in ${folder}: ${found.map((path) => basename(path)).join(', ')}.`,
    'Keep one of them, or name one with --config.',
  );
}

/**
 * Loads one configuration file. Bare plugin names and imports resolve from its folder, then from the installation;
 * a relative `state` counts from its folder. CONFIG_INVALID says what is wrong with it; nothing was started.
 */
export async function loadConfig(path: string): Promise<ApplianceConfig> {
  const file = resolve(path);
  if (!(await exists(file))) {
    throw new OverdubError(
      'CONFIG_INVALID',
      `The configuration file ${file} does not exist.`,
      'Check the path given with --config, or leave it out to run the defaults.',
    );
  }
  const extension = extname(file);
  const data = extension === '.json' || extension === '.yaml' || extension === '.yml';
  const given = data ? await readData(file) : await importModule(file);
  checkFileKeys(basename(file), FileKeys, withoutPlugins(given));
  const config = given as ApplianceConfig;
  return {
    ...config,
    plugins: data ? await namedPlugins(file, given) : config.plugins,
    ...(config.state === undefined ? {} : { state: resolve(dirname(file), config.state) }),
  };
}

/** Plugins are checked one by one, with better words, by the host. */
function withoutPlugins(given: unknown): unknown {
  if (typeof given !== 'object' || given === null) return given;
  return Array.isArray((given as { plugins?: unknown }).plugins) ? { ...given, plugins: [] } : given;
}

async function namedPlugins(file: string, given: unknown): Promise<readonly ConfiguredPlugin[]> {
  const { plugins } = given as { plugins: readonly (string | NamedPlugin)[] };
  checkFileKeys(basename(file), NamedPlugins, { plugins });
  const configured: ConfiguredPlugin[] = [];
  for (const entry of plugins) {
    configured.push(await pluginFromName(typeof entry === 'string' ? { plugin: entry } : entry, file));
  }
  return configured;
}

async function readData(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8');
  try {
    return extname(file) === '.json' ? JSON.parse(text) : parseYaml(text);
  } catch (error) {
    throw invalid(file, error, 'Correct it at the place the message names.');
  }
}

async function importModule(file: string): Promise<unknown> {
  const module = await importFrom(pathToFileURL(file).href, file).catch((error: unknown) => {
    throw importFailure(file, error);
  });
  const config = (module as { default?: unknown }).default;
  if (typeof config === 'object' && config !== null) return config;
  throw new OverdubError(
    'CONFIG_INVALID',
    `${file} does not export a configuration by default.`,
    'Write `export default defineConfig({ plugins: […] });`.',
  );
}

function importFailure(file: string, error: unknown): OverdubError {
  if (error instanceof OverdubError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  return invalid(
    file,
    error,
    code === 'ERR_MODULE_NOT_FOUND'
      ? 'Check the spelling of the import, or install the package beside the configuration file.'
      : 'Correct the file and check it with `overdub config check`.',
  );
}

function invalid(file: string, error: unknown, remedy: string): OverdubError {
  const message = error instanceof Error ? error.message : String(error);
  return new OverdubError('CONFIG_INVALID', `${file} cannot be loaded: ${message}`, remedy, { cause: error });
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

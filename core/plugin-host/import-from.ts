/** Node's own import(), seen from a configuration file: names resolve from its folder, then the installation. */

import { registerHooks } from 'node:module';
import { dirname, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/**
 * Imports `specifier` as if `configFile` had. What the configuration and the modules beside it cannot find there
 * is looked for where this package is installed, so that a configuration in /etc finds `@overdub/core`. The hook
 * that does so lives as long as the import.
 */
export async function importFrom(specifier: string, configFile: string): Promise<unknown> {
  const config = pathToFileURL(configFile).href;
  const folder = dirname(configFile) + sep;
  const hooks = registerHooks({
    resolve(wanted, context, next) {
      const parent = context.parentURL === import.meta.url ? config : context.parentURL;
      const seenFrom = { ...context, ...(parent === undefined ? {} : { parentURL: parent }) };
      try {
        return next(wanted, seenFrom);
      } catch (error) {
        if (!isBare(wanted) || !isBeside(parent, folder)) throw error;
        try {
          return next(wanted, { ...context, parentURL: import.meta.url });
        } catch {
          throw error;
        }
      }
    },
    load(url, context, next) {
      return next(url, { ...context, format: context.format ?? formatOf(url, folder) });
    },
  });
  try {
    return await import(specifier);
  } finally {
    hooks.deregister();
  }
}

function isBare(specifier: string): boolean {
  return !/^(\.{0,2}\/|[a-z]+:|#)/.test(specifier);
}

/** The configuration itself or a module of the site's own beside it, not an installed package. */
function isBeside(url: string | undefined, folder: string): boolean {
  if (url === undefined || !url.startsWith('file:')) return false;
  const path = fileURLToPath(url);
  return path.startsWith(folder) && !path.slice(folder.length).split(sep).includes('node_modules');
}

/** A configuration needs no package.json that says `"type": "module"`. */
function formatOf(url: string, folder: string): 'module' | 'module-typescript' | undefined {
  if (!isBeside(url, folder)) return undefined;
  if (url.endsWith('.ts')) return 'module-typescript';
  return url.endsWith('.js') ? 'module' : undefined;
}

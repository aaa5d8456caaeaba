/** Which configuration and which state directory a local command works with. */

import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ApplianceConfig } from '../contracts/config.ts';
import { OverdubError } from '../errors.ts';
import type { Environment } from './environment.ts';

export interface Configuration {
  readonly config: ApplianceConfig;
  /** Absolute path of the file; absent when the defaults run. */
  readonly file?: string;
  /** Absolute. */
  readonly state: string;
}

/** --config FILE, else `overdub.config.*` of the working directory, else the defaults. */
export async function configurationOf(
  given: { readonly config?: string | undefined; readonly state?: string | undefined },
  environment: Environment,
): Promise<Configuration> {
  const { cwd } = environment;
  // Loaded late, here and elsewhere: a command that only asks the API starts without the appliance's code.
  const { findConfig, loadConfig } = await import('../index.ts');
  const file = given.config === undefined ? await findConfig(cwd) : resolve(cwd, given.config);
  const config = file === undefined ? await defaultsOf(environment) : await loadConfig(file);
  const state = given.state === undefined ? (config.state ?? defaultState(environment)) : given.state;
  return { config, state: resolve(cwd, state), ...(file === undefined ? {} : { file }) };
}

async function defaultsOf({ cwd, defaults }: Environment): Promise<ApplianceConfig> {
  if (defaults !== undefined) return defaults();
  throw new OverdubError(
    'CONFIG_INVALID',
    `There is no overdub.config.ts in ${cwd}, and this installation has no defaults.`,
    'Name a configuration file with --config.',
  );
}

/** /var/lib/overdub for root, else the user's own (XDG Base Directory Specification). */
function defaultState({ variables }: Environment): string {
  if (process.getuid?.() === 0) return '/var/lib/overdub';
  return join(variables.XDG_STATE_HOME ?? join(homedir(), '.local', 'state'), 'overdub');
}

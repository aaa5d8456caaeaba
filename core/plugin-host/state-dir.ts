import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { OverdubError } from '../errors.ts';

/** Where a plugin keeps what is its own: `<state>/plugins/<name>`. */
export function pluginStateDir(state: string, plugin: string): string {
  return join(state, 'plugins', plugin);
}

/** Makes the directory (mode 0700, parents included) and returns it. STATE_UNWRITABLE. */
export async function ensurePluginStateDir(state: string, plugin: string): Promise<string> {
  const path = pluginStateDir(state, plugin);
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return path;
  } catch (error) {
    throw new OverdubError(
      'STATE_UNWRITABLE',
      `The state directory of ${plugin} cannot be made: ${error instanceof Error ? error.message : String(error)}`,
      'Choose another state directory with --state, or give this user the right to write there.',
      { cause: error, plugin },
    );
  }
}

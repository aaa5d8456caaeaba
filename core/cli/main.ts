/** The CLI's entry: every command, in a process of its own. */

import type { ApplianceConfig } from '../contracts/config.ts';
import { runCli } from './dispatch.ts';
import type { Programs } from './environment.ts';
import { inProcess } from './process.ts';

/**
 * Runs the process's command line. `defaults` is the configuration when there is no file; `programs` keeps commands
 * that need not load all this the next time.
 */
export async function main(defaults?: () => Promise<ApplianceConfig>, programs?: Programs): Promise<void> {
  await inProcess(runCli, {
    ...(defaults === undefined ? {} : { defaults }),
    ...(programs === undefined ? {} : { programs }),
  });
}

if (import.meta.main) await main();

/** A few commands as a program of their own, for `overdub` to run where it need not load a whole appliance for them. */

import type { AgentHalf } from '../contracts/agent-half.ts';
import type { CommandContribution } from '../contracts/context.ts';
import { UsageError } from './command.ts';
import { runContribution } from './contribution.ts';
import type { Environment } from './environment.ts';
import { inProcess } from './process.ts';
import { report } from './report.ts';
import { findCommand, splitWords } from './words.ts';

/** Runs the process's command line, which names one of `commands`: same arguments, output and exit codes as the CLI. */
export async function runAlone(
  commands: readonly CommandContribution[],
  halves: readonly AgentHalf[],
): Promise<void> {
  await inProcess((args, environment) => runOneOf(commands, halves, args, environment));
}

/** As {@link runAlone}, for a command line that is given. */
export async function runOneOf(
  commands: readonly CommandContribution[],
  halves: readonly AgentHalf[],
  args: readonly string[],
  environment: Environment,
): Promise<number> {
  try {
    const words = splitWords(args);
    const command = findCommand(commands, words);
    if (command === undefined)
      throw new UsageError(`There is no command \`overdub ${words.list.join(' ')}\`.`);
    return await runContribution(
      command,
      words.without(command.path.length),
      environment,
      async () => halves,
    );
  } catch (error) {
    return report(error, args.includes('--json'), environment);
  }
}

/** Runs a plugin's command: what the CLI's own options say becomes its surroundings. */

import type { AgentHalf } from '../contracts/agent-half.ts';
import type { CommandContribution } from '../contracts/context.ts';
import type { Environment } from './environment.ts';

/** Runs one: the options of the CLI itself are taken out, unless the command's usage names them as its own. */
export async function runContribution(
  command: CommandContribution,
  args: readonly string[],
  environment: Environment,
  agentHalves: () => Promise<readonly AgentHalf[]>,
): Promise<number> {
  const { variables } = environment;
  const url = optionValue(args, '--url') ?? variables.OVERDUB_URL;
  const token = optionValue(args, '--token') ?? variables.OVERDUB_TOKEN;
  return command.run(withoutGlobals(args, command.usage), {
    json: args.includes('--json'),
    print: (line) => environment.out(`${line}\n`),
    error: (line) => environment.err(`${line}\n`),
    ...(url === undefined ? {} : { url }),
    ...(token === undefined ? {} : { token }),
    agentHalves,
    signal: environment.signal,
  });
}

/** The value of `name VALUE` or `name=VALUE`. */
export function optionValue(args: readonly string[], name: string): string | undefined {
  const joined = args.find((arg) => arg.startsWith(`${name}=`));
  if (joined !== undefined) return joined.slice(name.length + 1);
  const at = args.indexOf(name);
  return at === -1 ? undefined : args[at + 1];
}

function withoutGlobals(args: readonly string[], usage: string): readonly string[] {
  const kept: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] as string;
    if (arg === '--') return [...kept, ...args.slice(index)];
    const name = arg.split('=')[0] as string;
    const global = ['--url', '--token', '--config', '--state'].includes(name) && !usage.includes(name);
    if (arg === '--json' && !usage.includes('--json')) continue;
    if (!global) kept.push(arg);
    else if (arg === name) index += 1;
  }
  return kept;
}

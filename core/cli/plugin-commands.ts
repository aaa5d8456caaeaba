/** Commands that plugins contribute: they need a configuration, but no running appliance. */

import type { AgentHalf } from '../contracts/agent-half.ts';
import type { CommandContribution } from '../contracts/context.ts';
import { OverdubError } from '../errors.ts';
import type { Inspection } from '../index.ts';
import { configurationOf } from './configuration.ts';
import type { Environment } from './environment.ts';
import { localClock, stderrLog } from './local.ts';
import type { Words } from './words.ts';

export interface Contributed {
  readonly commands: readonly CommandContribution[];
  readonly agentHalves: Inspection['agentHalves'];
}

/** What the configured plugins contribute, and what only the default plugins do. */
export async function pluginCommands(words: Words, environment: Environment): Promise<Contributed> {
  const given = { config: optionValue(words.args, '--config'), state: optionValue(words.args, '--state') };
  const configuration = await configurationOf(given, environment);
  const { inspectPlugins } = await import('../index.ts');
  const inspect = (config: typeof configuration.config) =>
    inspectPlugins(config, { state: configuration.state, log: stderrLog(environment), clock: localClock });
  const own = inspect(configuration.config);
  if (configuration.file === undefined || environment.defaults === undefined) return own;
  const byDefault = inspect(await environment.defaults());
  const has = (path: readonly string[]) =>
    own.commands.some((command) => command.path.join(' ') === path.join(' '));
  return {
    commands: [...own.commands, ...byDefault.commands.filter(({ path }) => !has(path))],
    agentHalves: own.agentHalves,
  };
}

/** Runs one: the options of the CLI itself are taken out, unless the command's usage names them as its own. */
export async function runContribution(
  command: CommandContribution,
  args: readonly string[],
  environment: Environment,
  { agentHalves }: Contributed,
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
    agentHalves: () => Promise.all(agentHalves.map(importHalf)),
    signal: environment.signal,
  });
}

async function importHalf({
  name,
  agent,
}: {
  readonly name: string;
  readonly agent: URL;
}): Promise<AgentHalf> {
  const { default: half } = (await import(agent.href)) as { readonly default?: AgentHalf };
  if (half !== undefined) return half;
  throw new OverdubError(
    'PLUGIN_FAILED',
    `The agent half of ${name} exports nothing by default.`,
    'Its agent.ts should say `export default defineAgentHalf({…});`.',
    { plugin: name },
  );
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

function optionValue(args: readonly string[], name: string): string | undefined {
  const joined = args.find((arg) => arg.startsWith(`${name}=`));
  if (joined !== undefined) return joined.slice(name.length + 1);
  const at = args.indexOf(name);
  return at === -1 ? undefined : args[at + 1];
}

/** Commands that plugins contribute: they need a configuration, but no running appliance. */

import type { AgentHalf } from '../contracts/agent-half.ts';
import type { CommandContribution } from '../contracts/context.ts';
import { OverdubError } from '../errors.ts';
import type { Inspection } from '../index.ts';
import { configurationOf } from './configuration.ts';
import { optionValue, runContribution } from './contribution.ts';
import type { Environment } from './environment.ts';
import { localClock, stderrLog } from './local.ts';
import type { Words } from './words.ts';

export interface Contributed {
  readonly commands: readonly CommandContribution[];
  readonly agentHalves: Inspection['agentHalves'];
  readonly agentBundle?: NonNullable<Inspection['agentBundle']>;
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
    ...(own.agentBundle === undefined ? {} : { agentBundle: own.agentBundle }),
  };
}

/** Runs one; from the agent's bundle where it is part of that and the bundle can be kept, else from here. */
export async function runContributed(
  command: CommandContribution,
  args: readonly string[],
  environment: Environment,
  { agentHalves, agentBundle }: Contributed,
): Promise<number> {
  const { programs } = environment;
  if (command.bundled === true && agentBundle !== undefined && programs !== undefined) {
    if (await programs.keep(await agentBundle())) return await programs.start();
  }
  return await runContribution(command, args, environment, () => Promise.all(agentHalves.map(importHalf)));
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

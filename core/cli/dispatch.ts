/** argv → command → exit code. */

import { readFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { parseArgs } from 'node:util';
import type { CommandContribution } from '../contracts/context.ts';
import { nearest } from '../domain/nearest.ts';
import { toOverdubError } from '../errors.ts';
import { callOf, type FlagValues } from './call.ts';
import { type Command, GLOBAL_FLAGS, UsageError } from './command.ts';
import { COMMANDS } from './commands.ts';
import type { Environment } from './environment.ts';
import { commandHelp, contributionHelp, overview } from './help.ts';
import { type Contributed, pluginCommands, runContributed } from './plugin-commands.ts';
import { report } from './report.ts';
import { findCommand, splitWords, type Words } from './words.ts';

/** Runs one command line. Resolves with the exit code: 0 done, 1 failed, 2 usage. Never rejects. */
export async function runCli(args: readonly string[], environment: Environment): Promise<number> {
  const json = args.includes('--json');
  try {
    return await dispatch(args, environment);
  } catch (error) {
    return report(error, json, environment);
  }
}

async function dispatch(args: readonly string[], environment: Environment): Promise<number> {
  const words = splitWords(args);
  const command = findCommand(COMMANDS, words);
  if (command !== undefined) return runCommand(command, words.without(command.path.length), environment);
  if (words.list.length === 0) return topLevel(words, environment);
  const contributed = await contributedOrNone(words, environment);
  const found = findCommand(contributed.commands, words);
  if (found !== undefined) return runFound(found, words, environment, contributed);
  return unknown(words, [...COMMANDS, ...contributed.commands], environment);
}

/** A configuration that cannot be loaded is no reason to leave a misspelt command of the core unexplained. */
async function contributedOrNone(words: Words, environment: Environment): Promise<Contributed> {
  const isGroup = COMMANDS.some(({ path }) => path[0] === words.list[0]);
  return pluginCommands(words, environment).catch((error: unknown) => {
    if (isGroup) return { commands: [], agentHalves: [] };
    throw error;
  });
}

async function topLevel(words: Words, environment: Environment): Promise<number> {
  if (words.args.includes('--version')) {
    environment.out(`${await version()}\n`);
    return 0;
  }
  const asked = words.args.includes('--help') || words.args.includes('-h');
  const { commands, note } = await listContributed(words, environment);
  const notes = note === undefined ? [] : ['', `The plugins’ commands are not shown: ${note}`];
  const text = overview([...COMMANDS, ...commands], notes);
  if (asked) environment.out(text);
  else environment.err(text);
  return asked ? 0 : 2;
}

async function listContributed(
  words: Words,
  environment: Environment,
): Promise<{ readonly commands: readonly CommandContribution[]; readonly note?: string }> {
  try {
    return await pluginCommands(words, environment);
  } catch (error) {
    return { commands: [], note: toOverdubError(error).message };
  }
}

async function runFound(
  command: CommandContribution,
  words: Words,
  environment: Environment,
  contributed: Contributed,
): Promise<number> {
  const args = words.without(command.path.length);
  const before = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  if (before.includes('--help') || before.includes('-h')) {
    environment.out(contributionHelp(command));
    return 0;
  }
  return runContributed(command, args, environment, contributed);
}

async function runCommand(
  command: Command,
  args: readonly string[],
  environment: Environment,
): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    environment.out(commandHelp(command));
    return 0;
  }
  const { values, positionals } = parse(command, args);
  const call = callOf(command, values, positionals, environment);
  return (await command.run(call)) ?? 0;
}

function parse(
  command: Command,
  args: readonly string[],
): { values: FlagValues; positionals: readonly string[] } {
  const flags = { ...command.flags, ...GLOBAL_FLAGS };
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { type, multiple = false, short }]) => [
      name,
      { type, multiple, ...(short === undefined ? {} : { short }) },
    ]),
  );
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    const name = /Unknown option '-{1,2}([^']+)'/.exec(String(error))?.[1];
    if (name === undefined) throw new UsageError(error instanceof Error ? error.message : String(error));
    const guess = nearest(name, Object.keys(flags));
    throw new UsageError(
      `The option --${name} does not exist.${guess === undefined ? '' : ` Did you mean --${guess}?`}`,
    );
  }
}

function unknown(
  words: Words,
  all: readonly Pick<Command, 'path' | 'summary'>[],
  environment: Environment,
): number {
  const group = all.filter(({ path }) => path[0] === words.list[0]);
  const asksHelp = words.args.includes('--help') || words.args.includes('-h');
  if (group.length > 0 && (asksHelp || words.list.length === 1)) {
    (asksHelp ? environment.out : environment.err)(overview(group));
    return asksHelp ? 0 : 2;
  }
  const asked = words.list.slice(0, 2).join(' ');
  const names = all.flatMap(({ path }) => [path.join(' '), path[0] as string]);
  const guess = nearest(asked, names) ?? nearest(words.list[0] as string, names);
  throw new UsageError(
    `There is no command \`overdub ${asked}\`.${guess === undefined ? '' : ` Did you mean \`overdub ${guess}\`?`}`,
  );
}

async function version(): Promise<string> {
  const path = findPackageJSON('.', import.meta.url) as string;
  return (JSON.parse(await readFile(path, 'utf8')) as { version: string }).version;
}

/** `--help`, made from the commands' own data. */

import type { CommandContribution } from '../contracts/context.ts';
import { DEFAULT_APPLIANCE_URL } from '../domain/protocol.ts';
import { type Command, type Flag, GLOBAL_FLAGS } from './command.ts';

/** What is shown of any command in a list. */
export type Listed = Pick<Command, 'path' | 'summary'>;

export function commandHelp(command: Command): string {
  const own = Object.entries(command.flags);
  return [
    `${command.summary}.`,
    '',
    `usage: ${usageOf(command)}`,
    ...section('options', own.map(flagLine)),
    ...section('global options', Object.entries(GLOBAL_FLAGS).map(flagLine)),
    ...section('examples', command.examples),
    '',
  ].join('\n');
}

export function contributionHelp(command: CommandContribution): string {
  return [
    `${command.summary}.`,
    '',
    `usage: ${command.usage}`,
    ...section('examples', command.examples),
    '',
  ].join('\n');
}

export function usageOf(command: Command): string {
  const flags = Object.keys(command.flags).length > 0 ? ['[options]'] : [];
  return ['overdub', ...command.path, ...command.positionals, ...flags].join(' ');
}

/** All commands, or those of one group. */
export function overview(commands: readonly Listed[], notes: readonly string[] = []): string {
  const rows = commands.map(({ path, summary }): readonly [string, string] => [path.join(' '), summary]);
  return [
    'Overdub: naked machines become servers, snapshot themselves, and come back from the dead.',
    '',
    'usage: overdub COMMAND [arguments] [--json] [--help]',
    ...section('commands', rows.map(twoColumns(rows))),
    ...section('environment', [
      `OVERDUB_URL     address of the appliance (${DEFAULT_APPLIANCE_URL})`,
      'OVERDUB_TOKEN   token for it; `overdub up` prints the first one',
    ]),
    ...notes,
    '',
    'exit codes: 0 done, 1 failed, 2 usage',
    '',
  ].join('\n');
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', `${title}:`, ...lines.map((line) => `  ${line}`)];
}

function flagLine([name, flag]: readonly [string, Flag]): string {
  const short = flag.short === undefined ? '' : `-${flag.short}, `;
  const value = flag.type === 'string' ? ` ${flag.value ?? 'VALUE'}` : '';
  return `${`${short}--${name}${value}`.padEnd(28)} ${flag.summary}${flag.multiple === true ? ' (repeatable)' : ''}`;
}

function twoColumns(rows: readonly (readonly [string, string])[]) {
  const width = Math.max(...rows.map(([name]) => name.length));
  return ([name, summary]: readonly [string, string]): string => `${name.padEnd(width)}  ${summary}`;
}

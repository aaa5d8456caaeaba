import { DEFAULT_APPLIANCE_URL } from '../domain/protocol.ts';
import { ApiClient } from './client.ts';
import { type Call, type Command, UsageError } from './command.ts';
import type { Environment } from './environment.ts';
import { usageOf } from './help.ts';

export type FlagValues = Readonly<
  Record<string, string | boolean | readonly (string | boolean)[] | undefined>
>;

/** Checks the number of positionals and gives the command its arguments. UsageError. */
export function callOf(
  command: Command,
  values: FlagValues,
  positionals: readonly string[],
  environment: Environment,
): Call {
  assertCount(command, positionals);
  const json = values.json === true;
  return {
    json,
    environment,
    client: () => clientOf(values, environment),
    positional: (index) => positionals[index] as string,
    positionals: () => positionals,
    text: (flag) => values[flag] as string | undefined,
    flag: (flag) => values[flag] === true,
    list: (flag) => (values[flag] as readonly string[] | undefined) ?? [],
    show: (value, text) =>
      environment.out(json ? `${JSON.stringify(value, null, 2)}\n` : withNewline(text())),
  };
}

/** Address and token from the options, else from the environment. */
export function clientOf(values: FlagValues, { variables, signal }: Environment): ApiClient {
  const url = (values.url as string | undefined) ?? variables.OVERDUB_URL ?? DEFAULT_APPLIANCE_URL;
  const token = (values.token as string | undefined) ?? variables.OVERDUB_TOKEN;
  return new ApiClient(url, token, signal);
}

function assertCount(command: Command, positionals: readonly string[]): void {
  const required = command.positionals.filter((name) => !name.startsWith('['));
  const missing = required[positionals.length];
  if (missing !== undefined) throw new UsageError(`${missing} is missing.\nusage: ${usageOf(command)}`);
  if (command.positionals.at(-1)?.includes('…') === true) return;
  const extra = positionals[command.positionals.length];
  if (extra !== undefined)
    throw new UsageError(`\`${extra}\` is one argument too many.\nusage: ${usageOf(command)}`);
}

function withNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

/** What the commands that work on a directory share: arguments, state, connection. */

import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { CommandIo } from '@overdub/core';
import {
  applianceUrl,
  DEFAULT_APPLIANCE_URL,
  isServerName,
  OverdubError,
  PROTOCOL_VERSION,
} from '@overdub/core/agent';
import { Appliance } from '../program/link/appliance.ts';
import { ConnectionLost } from '../program/link/connection-lost.ts';

/** Values of options; INPUT_INVALID, naming the command's help, for anything it does not know. */
export function parse<T extends NonNullable<ParseArgsConfig['options']>>(
  command: string,
  args: readonly string[],
  options: T,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false, strict: true }).values;
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new OverdubError('INPUT_INVALID', what, `See overdub ${command} --help.`, { cause });
  }
}

export function required(value: string | undefined, option: string, command: string): string {
  if (value !== undefined && value !== '') return value;
  throw new OverdubError('INPUT_INVALID', `${option} is missing.`, `See overdub ${command} --help.`);
}

export function serverName(value: string | undefined, command: string): string {
  const name = required(value, '--server', command);
  if (isServerName(name)) return name;
  throw new OverdubError(
    'INPUT_INVALID',
    `${JSON.stringify(name)} is no server name.`,
    'Names are lower-case letters, digits and hyphens, at most 63.',
  );
}

/** Where the appliance is and with which token, as `io` tells; INPUT_INVALID when it does not, or that is no address. */
export function credentials({ url, token }: CommandIo): { readonly url: string; readonly token: string } {
  if (url !== undefined && token !== undefined) return { url: applianceUrl(url), token };
  throw new OverdubError(
    'INPUT_INVALID',
    `${url === undefined ? 'OVERDUB_URL' : 'OVERDUB_TOKEN'} is not set: the agent does not know its appliance.`,
    'Set OVERDUB_URL (http://HOST:7077) and OVERDUB_TOKEN (overdub token create).',
  );
}

/** Records and signatures of one server's directory, outside that directory. */
export async function stateDirFor(root: string, server: string, given: string | undefined): Promise<string> {
  const home = process.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state');
  const dir = resolve(given ?? join(home, 'overdub', 'agents', server));
  if (root !== '/' && (dir === root || dir.startsWith(`${root}/`))) {
    throw new OverdubError(
      'INPUT_INVALID',
      `The state directory ${dir} lies inside ${root}; it would become part of the snapshot.`,
      'Choose another with --state.',
    );
  }
  return dir;
}

/** A session for one server by an API token. */
export async function connect(io: CommandIo, server: string): Promise<Appliance> {
  const { url, token } = credentials({ ...io, url: io.url ?? DEFAULT_APPLIANCE_URL });
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown')).trim();
  return new Appliance({
    url,
    self: { hello: { protocol: PROTOCOL_VERSION, where: 'server', bootId, server }, credential: token },
    sleep: async (ms, signal) => {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    },
    tries: 3,
  });
}

/** A lost connection as the error that people can act on. */
export function explained(error: unknown): unknown {
  if (!(error instanceof ConnectionLost)) return error;
  return new OverdubError(
    'APPLIANCE_UNREACHABLE',
    `${error.message}.`,
    'Check that the appliance runs (overdub up) and that OVERDUB_URL is its address.',
    { cause: error },
  );
}

export function megabytes(bytes: number): string {
  return bytes < 100_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

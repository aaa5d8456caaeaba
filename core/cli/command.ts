/** What a command of the core is: data, and one function. */

import { DEFAULT_APPLIANCE_URL } from '../domain/protocol.ts';
import type { ApiClient } from './client.ts';
import type { Environment } from './environment.ts';

export interface Flag {
  readonly type: 'string' | 'boolean';
  /** May be given several times. */
  readonly multiple?: boolean;
  readonly short?: string;
  /** Name of the value in the help: `FILE`. */
  readonly value?: string;
  readonly summary: string;
}

export interface Command {
  /** `['server', 'create']` */
  readonly path: readonly string[];
  readonly summary: string;
  /** `SERVER`, `[DIRECTORY]`; those in brackets may be left out. A last `…` takes all that follow. */
  readonly positionals: readonly string[];
  readonly flags: Readonly<Record<string, Flag>>;
  readonly examples: readonly string[];
  /** Returns the exit code; nothing is 0. */
  run(call: Call): Promise<number | undefined>;
}

/** One run of a command: checked arguments, and where to write. */
export interface Call {
  readonly json: boolean;
  readonly environment: Environment;
  /** The client of the appliance that --url or OVERDUB_URL names. */
  client(): ApiClient;
  /** A positional that its command requires. */
  positional(index: number): string;
  positionals(): readonly string[];
  text(flag: string): string | undefined;
  flag(flag: string): boolean;
  list(flag: string): readonly string[];
  /** Prints the value as JSON with --json, else the text. */
  show(value: unknown, text: () => string): void;
}

/** The command line itself is wrong: exit code 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** Typed identity. */
export function defineCommand(command: Command): Command {
  return command;
}

/** Flags that every command takes. */
export const GLOBAL_FLAGS: Readonly<Record<string, Flag>> = {
  json: { type: 'boolean', summary: 'Print JSON' },
  help: { type: 'boolean', short: 'h', summary: 'Show this help' },
  url: {
    type: 'string',
    value: 'URL',
    summary: `Address of the appliance (OVERDUB_URL; ${DEFAULT_APPLIANCE_URL})`,
  },
  token: { type: 'string', value: 'TOKEN', summary: 'Token for it (OVERDUB_TOKEN)' },
};

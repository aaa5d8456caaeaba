/** The `overdub` command as a user types it, run inside the lab's network, shown before it runs. */

import type { Operation } from '@overdub/core';
import type { LabExec } from './guest.ts';

export class OverdubCommand {
  readonly #exec: LabExec;
  readonly #bin: string;
  readonly #url: string;
  readonly #token: string;

  constructor(exec: LabExec, bin: string, url: string, token: string) {
    this.#exec = exec;
    this.#bin = bin;
    this.#url = url;
    this.#token = token;
  }

  /** Runs a command with `--json` and parses what it prints. Waits for operations to end. */
  async json<T>(say: (line: string) => void, ...args: readonly string[]): Promise<T> {
    say(`$ overdub ${args.join(' ')}`);
    return await this.quiet<T>(...args);
  }

  /** The same, unshown: for polling. */
  async quiet<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.text(...args, '--json')) as T;
  }

  /** Standard output as it is. */
  text(...args: readonly string[]): Promise<string> {
    const environment = [`OVERDUB_URL=${this.#url}`, `OVERDUB_TOKEN=${this.#token}`, 'NO_COLOR=1'];
    return this.#exec(['env', ...environment, this.#bin, ...args], { timeoutMs: 1_800_000 });
  }
}

/** Bytes that an operation's agent exchanged with the appliance, as its result says. */
export function movedBytes(operation: Operation): number {
  const result = operation.result ?? {};
  return ['bytesReceived', 'bytesSent'].reduce(
    (sum, key) => sum + (typeof result[key] === 'number' ? (result[key] as number) : 0),
    0,
  );
}

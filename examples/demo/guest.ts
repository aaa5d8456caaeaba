/** The administrator's hands on the running server: SSH and HTTP from inside the lab's network. */

import { setTimeout as sleep } from 'node:timers/promises';
import { SERVER_ADDRESS } from './cast.ts';

/** Runs a program inside the lab's network namespace; rejects unless it exits 0. */
export type LabExec = (
  command: readonly string[],
  options?: { readonly timeoutMs?: number },
) => Promise<string>;

export class Guest {
  readonly #exec: LabExec;
  readonly #sshKey: string;
  readonly #address: string;

  constructor(exec: LabExec, sshKey: string, address: string = SERVER_ADDRESS) {
    this.#exec = exec;
    this.#sshKey = sshKey;
    this.#address = address;
  }

  /** Standard output of a shell command run as root in the server. */
  async sh(script: string, timeoutMs = 300_000): Promise<string> {
    const options = [
      'StrictHostKeyChecking=no',
      'UserKnownHostsFile=/dev/null',
      'LogLevel=ERROR',
      'ConnectTimeout=20',
      'BatchMode=yes',
    ];
    const output = await this.#exec(
      [
        'ssh',
        '-i',
        this.#sshKey,
        ...options.flatMap((option) => ['-o', option]),
        `root@${this.#address}`,
        script,
      ],
      { timeoutMs },
    );
    return output.trim();
  }

  /** As the postgres user, one value. */
  sql(database: string, query: string): Promise<string> {
    return this.sh(`su postgres -c ${quote(`psql -XAtq -d ${database} -c ${quote(query)}`)}`);
  }

  /** Body of the front page; rejects when nginx does not answer. */
  page(): Promise<string> {
    return this.#exec(['curl', '-fsS', '--max-time', '20', `http://${this.#address}/`]);
  }

  /** The server's public SSH host key, as a client sees it. */
  async hostKey(): Promise<string> {
    const scanned = await this.#exec(['ssh-keyscan', '-T', '30', '-t', 'ed25519', this.#address]);
    const line = scanned.split('\n').find((text) => text.includes('ssh-ed25519'));
    if (line === undefined) throw new Error(`no host key from ${this.#address}`);
    return line.split(' ').slice(1).join(' ').trim();
  }

  /** Waits until `probe` resolves; emulated machines are slow, so only the limit is generous, never a fixed time. */
  async eventually<T>(what: string, probe: () => Promise<T>, limitMs = 600_000): Promise<T> {
    const until = Date.now() + limitMs;
    for (;;) {
      try {
        return await probe();
      } catch (error) {
        if (Date.now() > until)
          throw new Error(`${what}: gave up after ${limitMs / 1000} s`, { cause: error });
        await sleep(1000);
      }
    }
  }
}

/** Single-quotes for a POSIX shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

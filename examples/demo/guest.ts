/** The administrator's hands on the running server: SSH and HTTP from inside the lab's network. */

import { setTimeout as sleep } from 'node:timers/promises';

/** Runs a program inside the lab's network namespace; rejects unless it exits 0. */
export type LabExec = (
  command: readonly string[],
  options?: { readonly timeoutMs?: number },
) => Promise<string>;

export interface GuestAccess {
  readonly exec: LabExec;
  /** Private key that may log in as root. */
  readonly sshKey: string;
  readonly address: string;
  /** A short path of this guest's own: the socket of its SSH connection. */
  readonly control: string;
}

const SSH_OPTIONS = [
  'StrictHostKeyChecking=no',
  'UserKnownHostsFile=/dev/null',
  'LogLevel=ERROR',
  'ConnectTimeout=20',
  'BatchMode=yes',
  'ServerAliveInterval=10',
].flatMap((option) => ['-o', option]);

export class Guest {
  readonly #access: GuestAccess;

  constructor(access: GuestAccess) {
    this.#access = access;
  }

  /** Logs in, anew after each boot: commands then share this connection. A login takes seconds of emulated time. */
  async connect(): Promise<void> {
    const { exec } = this.#access;
    // None there, or of the boot before.
    await exec(this.#ssh('-O', 'exit')).catch(() => undefined);
    // In the background; what it says must not hold up whoever waits for our output.
    await exec(['sh', '-c', '"$@" >/dev/null 2>&1', 'sh', ...this.#ssh('-f', '-N', '-M')], {
      timeoutMs: 60_000,
    });
  }

  /** Standard output of a shell command run as root in the server. */
  async sh(script: string, timeoutMs = 300_000): Promise<string> {
    return (await this.#access.exec([...this.#ssh(), script], { timeoutMs })).trim();
  }

  #ssh(...flags: readonly string[]): string[] {
    const { sshKey, control, address } = this.#access;
    return ['ssh', '-i', sshKey, '-S', control, ...SSH_OPTIONS, ...flags, `root@${address}`];
  }

  /** As the postgres user, one value. */
  sql(database: string, query: string): Promise<string> {
    return this.sh(`su postgres -c ${quote(`psql -XAtq -d ${database} -c ${quote(query)}`)}`);
  }

  /** Body of the front page; rejects when nginx does not answer. */
  page(): Promise<string> {
    const { exec, address } = this.#access;
    return exec(['curl', '-fsS', '--max-time', '20', `http://${address}/`]);
  }

  /** The server's public SSH host key, as a client sees it. */
  async hostKey(): Promise<string> {
    const { exec, address } = this.#access;
    const scanned = await exec(['ssh-keyscan', '-T', '30', '-t', 'ed25519', address]);
    const line = scanned.split('\n').find((text) => text.includes('ssh-ed25519'));
    if (line === undefined) throw new Error(`no host key from ${address}`);
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

/** Network namespaces on one virtual switch, for tests that need real DHCP. Needs root; leaves nothing behind. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';

const run = promisify(execFile);
let networks = 0;

/** One switch and the namespaces plugged into it, each by its interface `eth0`. */
export class TestNetwork {
  readonly #prefix = `ov${process.pid}n${networks++}`;
  readonly #namespaces: string[] = [];
  readonly #children: ChildProcess[] = [];
  readonly #segments = new Set<string>();
  #ports = 0;

  /** Makes the switch. Call {@link close} also when this rejects. */
  async open(): Promise<void> {
    await this.#namespace('switch');
    await this.#segment('br0');
  }

  /**
   * A namespace with `eth0` on the switch, with or without an address (`10.77.0.1/24`). Added again with another
   * `device` and `segment` it gets a second leg, on a network of its own.
   */
  async add(
    name: string,
    address?: string,
    { device = 'eth0', segment = 'br0' }: { device?: string; segment?: string } = {},
  ): Promise<void> {
    if (!this.#namespaces.includes(this.#nameOf(name))) await this.#namespace(name);
    if (segment !== 'br0') await this.#segment(segment);
    const port = `p${++this.#ports}`;
    const [from, to] = [this.#nameOf('switch'), this.#nameOf(name)];
    await run('ip', ['-n', from, 'link', 'add', port, 'type', 'veth', 'peer', 'name', device, 'netns', to]);
    await run('ip', ['-n', from, 'link', 'set', port, 'master', segment, 'up']);
    if (address !== undefined) await this.run(name, ['ip', 'address', 'add', address, 'dev', device]);
    for (const each of ['lo', device]) await this.run(name, ['ip', 'link', 'set', each, 'up']);
  }

  /** Two new namespaces, joined by their `eth0` without a switch between: bridges keep LLDP to themselves. */
  async cable(one: string, other: string): Promise<void> {
    for (const name of [one, other]) await this.#namespace(name);
    const [from, to] = [this.#nameOf(one), this.#nameOf(other)];
    await run('ip', ['-n', from, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', to]);
    for (const name of [one, other]) await this.run(name, ['ip', 'link', 'set', 'eth0', 'up']);
  }

  async #segment(name: string): Promise<void> {
    if (this.#segments.has(name)) return;
    this.#segments.add(name);
    await this.run('switch', ['ip', 'link', 'add', name, 'type', 'bridge', 'forward_delay', '0']);
    await this.run('switch', ['ip', 'link', 'set', name, 'up']);
  }

  /** Runs to the end; rejects with the program's own words when it fails. */
  async run(name: string, command: readonly string[]): Promise<string> {
    const { stdout } = await run('ip', ['netns', 'exec', this.#nameOf(name), ...command], {
      timeout: 60_000,
      maxBuffer: 64 << 20,
    });
    return stdout;
  }

  /** What, put before a command, has it run there. */
  prefix(name: string): readonly string[] {
    return ['ip', 'netns', 'exec', this.#nameOf(name)];
  }

  /** Starts a program that stays; it ends with the network at the latest. */
  start(name: string, command: readonly string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.#nameOf(name), ...command], { stdio: 'pipe' });
    this.#children.push(child);
    return child;
  }

  /** Ends the programs, deletes the namespaces (and with them every link). */
  async close(): Promise<void> {
    for (const child of this.#children.splice(0)) await stopped(child);
    for (const namespace of this.#namespaces.splice(0).reverse())
      await run('ip', ['netns', 'delete', namespace]);
  }

  #nameOf(name: string): string {
    return `${this.#prefix}-${name}`;
  }

  async #namespace(name: string): Promise<void> {
    await run('ip', ['netns', 'add', this.#nameOf(name)]);
    this.#namespaces.push(this.#nameOf(name));
  }
}

/** Ends a program and waits until it has ended; `ip netns exec` becomes the program, so the signal reaches it. */
export async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await exit;
  clearTimeout(timer);
}

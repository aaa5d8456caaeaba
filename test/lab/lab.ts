/** Emulated hardware for tests and the demo: machines on a bridge, in a network of their own. */

import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DnsmasqSpec, dnsmasqArguments } from './dnsmasq.ts';
import { LabMachine, type MachineSpec } from './machine.ts';
import {
  addFarBridge,
  addHost,
  addIpv6,
  addLeg,
  addTap,
  BRIDGE,
  buildNetwork,
  existingNamespaces,
  FAR_BRIDGE,
  inside,
  type LabNetwork,
  planNetwork,
  processesIn,
  removeNetwork,
} from './network.ts';
import {
  isAlive,
  LabProcess,
  processId,
  recordedProcess,
  recordProcess,
  signalProcess,
} from './processes.ts';
import { type ExecOptions, exec } from './programs.ts';
import { RELAY, RELAY_READY, type RelayKind, relayCommand } from './relay.ts';
import { type Ipv6Room, routerCommand } from './router.ts';

export interface LabOptions {
  /** Lower-case letters, digits and dashes, at most 20. One lab of a name at a time; leftovers are removed. */
  readonly name: string;
  /** Address and prefix length of the appliance on the machines' network. Default `10.77.0.1/24`. */
  readonly address?: string;
  /** The room has IPv6. Default: it has none. */
  readonly ipv6?: Ipv6Room;
}

/** A running lab. Dispose it: every process is ended by its pid, the network and the directory are removed. */
export interface Lab extends AsyncDisposable {
  readonly name: string;
  /** Everything of this lab on disk: consoles, disk images, logs. */
  readonly dir: string;
  /** The appliance's address on the machines' network, without prefix length. */
  readonly address: string;
  /** Where the host reaches what listens inside on all addresses. */
  readonly hostFacingAddress: string;
  /** Runs a program inside the lab's network to its end; its standard output. */
  exec(command: readonly string[], options?: ExecOptions): Promise<string>;
  /** Starts a long-lived program inside the lab's network. */
  start(
    name: string,
    command: readonly string[],
    options?: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string },
  ): Promise<LabProcess>;
  /** `fetch` from the host to a server inside: `http://lab:7077/path`, any host name. */
  fetch(url: string, init?: RequestInit): Promise<Response>;
  /** A machine with a cable to the bridge; switched off. */
  machine(spec: MachineSpec): Promise<LabMachine>;
  /** A DHCP server (or another appliance's rival) on a host of its own on the same wire. */
  dnsmasq(spec: DnsmasqSpec): Promise<LabProcess>;
  /**
   * A second wire (`far` machines hang on it), and a router that relays its DHCP to the servers at `to`. Once a lab;
   * before its machines.
   */
  relay(kind: RelayKind, to: readonly string[]): Promise<LabProcess>;
  /** Leaves everything running when this process ends; the next lab of this name removes it. */
  leaveRunning(): Promise<void>;
}

/** Builds an empty lab, after removing what a killed run of the same name left. */
export async function createLab(options: LabOptions): Promise<Lab> {
  if (!/^[a-z0-9][a-z0-9-]{0,19}$/.test(options.name)) throw new Error(`not a lab name: ${options.name}`);
  const dir = join(tmpdir(), `overdub-lab-${options.name}`);
  const network = planNetwork(options.name, options.address ?? '10.77.0.1/24');
  refuseWhenOwned(dir, options.name);
  removeLab(dir, network);
  mkdirSync(dir, { recursive: true });
  const self = processId(process.pid);
  if (self !== undefined) recordProcess(join(dir, 'owner'), self);
  const lab = new RunningLab(options.name, dir, network);
  try {
    await buildNetwork(network);
    if (options.ipv6 !== undefined) await addIpv6(network.namespace, options.ipv6.prefix);
    await lab.addRouter(options.ipv6);
  } catch (error) {
    await lab[Symbol.asyncDispose]();
    throw error;
  }
  return lab;
}

function refuseWhenOwned(dir: string, name: string): void {
  const owner = recordedProcess(join(dir, 'owner'));
  if (owner !== undefined && owner.pid !== process.pid && isAlive(owner)) {
    throw new Error(`lab ${name} is in use by process ${owner.pid}; choose another name or end that run`);
  }
}

/** Ends what the lab started, by pid, and removes its network and files. Synchronous: runs on exit, too. */
function removeLab(dir: string, network: LabNetwork): void {
  const ids = existingNamespaces(network.namespace)
    .flatMap(processesIn)
    .flatMap((pid) => processId(pid) ?? []);
  for (const id of ids) signalProcess(id, 'SIGKILL');
  removeNetwork(network);
  if (existsSync(dir)) rmSync(dir, { recursive: true, force: true });
}

class RunningLab implements Lab {
  readonly name: string;
  readonly dir: string;
  readonly #network: LabNetwork;
  readonly #machines: LabMachine[] = [];
  readonly #processes: LabProcess[] = [];
  /** Namespaces whose programs answer far machines: the lab's own, DHCP servers'. */
  readonly #routed: string[] = [];
  #taps = 0;
  #hosts = 0;
  #disposed = false;
  readonly #onExit = (): void => this.#removeNow();
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#removeNow();
    process.kill(process.pid, signal);
  };

  constructor(name: string, dir: string, network: LabNetwork) {
    this.name = name;
    this.dir = dir;
    this.#network = network;
    this.#routed.push(network.namespace);
    process.on('exit', this.#onExit);
    process.once('SIGINT', this.#onSignal);
    process.once('SIGTERM', this.#onSignal);
  }

  get address(): string {
    return this.#network.address.split('/')[0] ?? '';
  }

  get hostFacingAddress(): string {
    return this.#network.insideAddress;
  }

  exec(command: readonly string[], options?: ExecOptions): Promise<string> {
    return exec([...inside(this.#network.namespace), ...command], options);
  }

  start(
    name: string,
    command: readonly string[],
    options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
  ): Promise<LabProcess> {
    return this.#start(this.#network.namespace, name, command, options);
  }

  async #start(
    namespace: string,
    name: string,
    command: readonly string[],
    options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
  ): Promise<LabProcess> {
    const process = await LabProcess.start([...inside(namespace), ...command], {
      logFile: join(this.dir, `${name}.log`),
      ...options,
    });
    this.#processes.push(process);
    return process;
  }

  fetch(url: string, init?: RequestInit): Promise<Response> {
    const target = new URL(url);
    target.hostname = this.hostFacingAddress;
    return fetch(target, init);
  }

  async machine(spec: MachineSpec): Promise<LabMachine> {
    const dir = join(this.dir, spec.name);
    mkdirSync(dir);
    const taps: string[] = [];
    for (const _mac of spec.cable === false ? [] : [spec.mac, ...(spec.otherMacs ?? [])]) {
      const tap = `tap${this.#taps}`;
      this.#taps += 1;
      await addTap(this.#network.namespace, tap, spec.far === true ? FAR_BRIDGE : BRIDGE);
      taps.push(tap);
    }
    const machine = new LabMachine(spec, { dir, inside: inside(this.#network.namespace), taps });
    this.#machines.push(machine);
    return machine;
  }

  /** Every room has one. */
  async addRouter(ipv6?: Ipv6Room): Promise<void> {
    const { host } = await this.#addHost('10.77.255.254/32');
    const router = await this.#start(host, 'router', routerCommand(join(this.dir, 'router.pid'), ipv6));
    while (router.running && !router.output().includes('started')) await sleep(50);
    if (!router.running) throw new Error(`radvd did not start: ${router.output().trim()}`);
  }

  async #addHost(address: string): Promise<{ host: string; number: number }> {
    const number = this.#hosts;
    this.#hosts += 1;
    const host = `${this.#network.namespace}.${number}`;
    await addHost(this.#network.namespace, host, `host${number + 1}`, address);
    return { host, number };
  }

  async dnsmasq(spec: DnsmasqSpec): Promise<LabProcess> {
    const { host, number } = await this.#addHost(spec.address);
    this.#routed.push(host);
    if (spec.ipv6 !== undefined)
      await exec(['ip', '-n', host, '-6', 'address', 'add', spec.ipv6.address, 'dev', 'eth0', 'nodad']);
    const name = `dnsmasq-${number}`;
    const leases = join(this.dir, `${name}.leases`);
    const server = await this.#start(host, name, dnsmasqArguments(spec, leases));
    while (server.running && !server.output().includes('DHCP')) await sleep(50);
    if (!server.running) throw new Error(`dnsmasq did not start: ${server.output().trim()}`);
    return server;
  }

  async relay(kind: RelayKind, to: readonly string[]): Promise<LabProcess> {
    const { namespace } = this.#network;
    await addFarBridge(namespace);
    const { host, number } = await this.#addHost(`${RELAY.near}/24`);
    const leg = { port: `far${number + 1}`, device: 'eth1', bridge: FAR_BRIDGE, address: `${RELAY.far}/24` };
    await addLeg(namespace, host, leg);
    await exec([...inside(host), 'sysctl', '-q', '-w', 'net.ipv4.ip_forward=1']);
    for (const each of this.#routed)
      await exec(['ip', '-n', each, 'route', 'add', RELAY.network, 'via', RELAY.near]);
    const relay = await this.#start(host, `relay-${number}`, relayCommand(kind, to));
    while (relay.running && !RELAY_READY[kind].test(relay.output())) await sleep(50);
    if (!relay.running) throw new Error(`the relay did not start: ${relay.output().trim()}`);
    return relay;
  }

  async leaveRunning(): Promise<void> {
    for (const machine of this.#machines) await machine.leaveRunning(AbortSignal.timeout(60_000));
    this.#disposed = true;
    this.#forgetHooks();
    rmSync(join(this.dir, 'owner'), { force: true });
  }

  #forgetHooks(): void {
    process.off('exit', this.#onExit);
    process.off('SIGINT', this.#onSignal);
    process.off('SIGTERM', this.#onSignal);
  }

  #removeNow(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#forgetHooks();
    removeLab(this.dir, this.#network);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    for (const machine of this.#machines) await machine.powerOff();
    for (const process of this.#processes.toReversed()) await process.stop();
    this.#removeNow();
  }
}

/** A storm: `overdub up` in one network namespace, a fleet behind a relay in another, and what it came to. */

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stopped, TestNetwork } from '../interop/netboot-namespaces.ts';
import type { FleetOrder, FleetReport } from './main.ts';
import { ramdiskIn } from './ramdisk.ts';
import { type WireReport, WireWatch } from './wire.ts';

const APPLIANCE = '10.77.0.1';
const ROUTER = '10.77.0.2';
const FLEET = { network: '10.78.0.0/16', relay: '10.78.0.1', from: '10.78.1.0', to: '10.78.40.255' };
const PROGRAM = fileURLToPath(new URL('../../bin/overdub.mjs', import.meta.url));
const IPXE = '/usr/lib/ipxe';

export interface StormReport extends FleetReport {
  /** DHCP by the kernel's clock, at the appliance's interface. */
  readonly wire: WireReport;
  /** Peak resident memory of the appliance, MiB. */
  readonly peakMiB: number;
  /** User and system time of the appliance, seconds. */
  readonly cpuSeconds: number;
  /** How long its main thread could have run and found no processor free, seconds: the load of others and the fleet. */
  readonly queuedSeconds: number;
  /** Warnings and errors in its log, each kind once. */
  readonly complaints: readonly string[];
}

export type StormOrder = Pick<FleetOrder, 'machines' | 'whole' | 'initrdBytes' | 'spreadMs'> & {
  /** Flags for the appliance's Node, for profiles. */
  readonly nodeOptions?: string;
  /**
   * The appliance runs before everybody else on this host (SCHED_RR): a real fleet computes on machines of its own, and
   * other people's work here is no property of the appliance.
   */
  readonly first?: boolean;
};

/** Needs root. Whatever it makes is gone when it has settled. */
export async function storm(order: StormOrder): Promise<StormReport> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-fleet-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const network = new TestNetwork();
  stack.defer(() => network.close());
  await connect(network);
  const ramdiskDir = await ramdiskIn(directory);
  const appliance = await up(network, directory, ramdiskDir, order);
  stack.defer(() => stopped(appliance.child));
  const fleet: FleetOrder = {
    ...order,
    relay: { address: FLEET.relay, server: APPLIANCE },
    ramdiskDir,
    ipxeDir: IPXE,
  };
  const watch = await WireWatch.open(network.prefix('app'), 'eth0');
  stack.defer(() => watch.close());
  const report = await run(network, fleet);
  const wire = await watch.report();
  return { ...report, wire, ...costOf(appliance.child), complaints: appliance.complaints() };
}

/**
 * The appliance on the switch; behind a router that is also the relay, the fleet's network. Every address of that
 * network is the fleet's own (an "any IP" route), so each machine speaks from the one it leased.
 */
async function connect(network: TestNetwork): Promise<void> {
  await network.open();
  await network.add('app', `${APPLIANCE}/24`);
  await network.add('fleet', `${ROUTER}/24`);
  await network.run('app', ['ip', 'route', 'add', FLEET.network, 'via', ROUTER]);
  await network.run('fleet', ['ip', 'route', 'add', 'local', FLEET.network, 'dev', 'lo']);
  // Nobody has an address before he has leased it: a conflict probe must hear nothing.
  await network.run('fleet', ['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all']);
}

interface Running {
  readonly child: ChildProcess;
  complaints(): readonly string[];
}

async function up(
  network: TestNetwork,
  directory: string,
  ramdiskDir: string,
  { nodeOptions = '', first = false }: StormOrder,
): Promise<Running> {
  const config = path.join(directory, 'overdub.config.json');
  await writeFile(config, JSON.stringify({ plugins: plugins(ramdiskDir) }));
  const args = [PROGRAM, 'up', '--config', config, '--state', path.join(directory, 'state'), '--json'];
  const precedence = first ? ['chrt', '--rr', '1'] : [];
  const [program = '', ...rest] = [...precedence, ...network.prefix('app'), process.execPath, ...args];
  const env = { ...process.env, NODE_OPTIONS: nodeOptions };
  const child = spawn(program, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const complaints = new Set<string>();
  let last = '';
  createInterface({ input: child.stderr }).on('line', (line) => {
    last = line;
    const said = parsed(line);
    if (said === undefined) complaints.add(line);
    else if (Number(said.level) >= 40) complaints.add([said.msg, said.reason].filter(Boolean).join(': '));
  });
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{')) return { child, complaints: () => [...complaints] };
  }
  throw new Error(`the appliance did not start: ${last}`);
}

function parsed(line: string): { level?: unknown; msg?: unknown; reason?: unknown } | undefined {
  try {
    return JSON.parse(line) as object;
  } catch {
    return undefined;
  }
}

function plugins(ramdisk: string): readonly (string | object)[] {
  const { network, relay: router, from, to } = FLEET;
  return [
    'storage-local',
    'imaging-tree',
    'diff-zstd',
    {
      plugin: 'discovery-netboot',
      options: { rules: [{ mac: '52:54:0f', admission: 'accept' }] },
    },
    {
      plugin: 'boot-pxe',
      options: {
        interface: 'eth0',
        mode: 'server',
        probeSeconds: 0,
        subnets: [{ network, pool: { from, to }, router }],
      },
    },
    'boot-ipxe',
    { plugin: 'agent', options: { ramdisk } },
    'api-http',
  ];
}

async function run(network: TestNetwork, order: FleetOrder): Promise<FleetReport> {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));
  const command = [process.execPath, '--conditions=overdub-source', main, JSON.stringify(order)];
  const child = network.start('fleet', command);
  let [out, err] = ['', ''];
  child.stdout?.on('data', (piece) => {
    out += piece;
  });
  child.stderr?.on('data', (piece) => {
    err += piece;
  });
  await new Promise((resolve) => child.once('close', resolve));
  if (!out.startsWith('{')) throw new Error(`the fleet ended without a report: ${err}`);
  return JSON.parse(out) as FleetReport;
}

/** proc_pid_status(5), proc_pid_stat(5), and the kernel's sched-stats: the process alone, so far. */
function costOf({ pid }: ChildProcess): Pick<StormReport, 'peakMiB' | 'cpuSeconds' | 'queuedSeconds'> {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const queued = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1];
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    peakMiB: Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024,
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100,
    queuedSeconds: Number(queued) / 1e9,
  };
}

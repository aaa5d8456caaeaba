/** A lab's network: a namespace with a bridge, and a cable between it and the host. Linux, as root. */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { OverdubError } from '@overdub/core';
import { exec } from './programs.ts';

export const BRIDGE = 'br0';
/** A second wire, which only a relay joins to the first. */
export const FAR_BRIDGE = 'br1';

export interface LabNetwork {
  /** Network namespace. */
  readonly namespace: string;
  /** Address of the bridge, where the appliance stands, with prefix length. */
  readonly address: string;
  /** The host's end of the cable. */
  readonly hostLink: string;
  /** Addresses at the two ends of the cable, a /30. */
  readonly hostAddress: string;
  readonly insideAddress: string;
}

/** Names and addresses that follow from a lab's name. */
export function planNetwork(name: string, address: string): LabNetwork {
  const digest = createHash('sha256').update(name).digest();
  const [a = 0, b = 0] = digest;
  const base = b & 0xfc;
  return {
    namespace: `overdub-${name}`,
    address,
    hostLink: `ovd${digest.toString('hex').slice(0, 10)}`,
    hostAddress: `10.254.${a}.${base + 1}`,
    insideAddress: `10.254.${a}.${base + 2}`,
  };
}

export function inside(namespace: string): string[] {
  return ['ip', 'netns', 'exec', namespace];
}

/** Builds it. Nothing of that name may be left from before. */
export async function buildNetwork(network: LabNetwork): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new OverdubError(
      'PREREQUISITE_MISSING',
      'The emulated lab makes network namespaces and taps, which needs root.',
      'Run it as root, or inside `unshare --user --map-root-user --net --mount`.',
    );
  }
  const { namespace, hostLink } = network;
  const ip = (...args: string[]) => exec(['ip', ...args]);
  await ip('netns', 'add', namespace);
  await exec([...inside(namespace), 'sysctl', '-q', '-w', 'net.ipv6.conf.all.disable_ipv6=1']);
  await ip('-n', namespace, 'link', 'set', 'lo', 'up');
  await ip('-n', namespace, 'link', 'add', BRIDGE, 'type', 'bridge');
  await ip('-n', namespace, 'address', 'add', network.address, 'dev', BRIDGE);
  await ip('-n', namespace, 'link', 'set', BRIDGE, 'up');
  await ip('link', 'add', hostLink, 'type', 'veth', 'peer', 'name', 'host0', 'netns', namespace);
  await ip('address', 'add', `${network.hostAddress}/30`, 'dev', hostLink);
  await ip('link', 'set', hostLink, 'up');
  await ip('-n', namespace, 'address', 'add', `${network.insideAddress}/30`, 'dev', 'host0');
  await ip('-n', namespace, 'link', 'set', 'host0', 'up');
}

/** Address `1` of a prefix, for the appliance on its wire. */
export async function addIpv6(namespace: string, prefix: string): Promise<void> {
  await exec([...inside(namespace), 'sysctl', '-q', '-w', `net.ipv6.conf.${BRIDGE}.disable_ipv6=0`]);
  const address = prefix.replace('::/', '::1/');
  await exec(['ip', '-n', namespace, '-6', 'address', 'add', address, 'dev', BRIDGE, 'nodad']);
}

/** A bridge without an address of ours: what hangs on it reaches us through a router only. */
export async function addFarBridge(namespace: string): Promise<void> {
  await exec(['ip', '-n', namespace, 'link', 'add', FAR_BRIDGE, 'type', 'bridge']);
  await exec(['ip', '-n', namespace, 'link', 'set', FAR_BRIDGE, 'up']);
}

/** A tap on a bridge for one NIC. */
export async function addTap(namespace: string, tap: string, bridge = BRIDGE): Promise<void> {
  await exec(['ip', '-n', namespace, 'tuntap', 'add', 'dev', tap, 'mode', 'tap']);
  await exec(['ip', '-n', namespace, 'link', 'set', tap, 'master', bridge]);
  await exec(['ip', '-n', namespace, 'link', 'set', tap, 'up']);
}

/** A namespace of its own, plugged into the bridge: another host on the same wire. */
export async function addHost(namespace: string, host: string, port: string, address: string): Promise<void> {
  await exec(['ip', 'netns', 'add', host]);
  await exec(['ip', '-n', host, 'link', 'set', 'lo', 'up']);
  await addLeg(namespace, host, { port, device: 'eth0', bridge: BRIDGE, address });
}

/** One of a host's interfaces, on one of the bridges. */
export interface Leg {
  /** The bridge's end of the cable. */
  readonly port: string;
  readonly device: string;
  readonly bridge: string;
  readonly address: string;
}

/** Plugs a host into a bridge. */
export async function addLeg(namespace: string, host: string, leg: Leg): Promise<void> {
  const { port, device, bridge, address } = leg;
  const cable = ['type', 'veth', 'peer', 'name', device, 'netns', host];
  await exec(['ip', '-n', namespace, 'link', 'add', port, ...cable]);
  await exec(['ip', '-n', namespace, 'link', 'set', port, 'master', bridge]);
  await exec(['ip', '-n', namespace, 'link', 'set', port, 'up']);
  await exec(['ip', '-n', host, 'address', 'add', address, 'dev', device]);
  await exec(['ip', '-n', host, 'link', 'set', device, 'up']);
}

/** Namespaces of a lab that exist now: its own and its hosts'. Synchronous: also runs while the process exits. */
export function existingNamespaces(namespace: string): string[] {
  const listed = spawnSync('ip', ['netns', 'list']).stdout?.toString() ?? '';
  return listed
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
    .filter((name) => name === namespace || name.startsWith(`${namespace}.`));
}

/** Pids of what runs in a namespace. */
export function processesIn(namespace: string): number[] {
  const listed = spawnSync('ip', ['netns', 'pids', namespace]).stdout?.toString() ?? '';
  return listed.split('\n').filter(Boolean).map(Number);
}

/** Removes namespaces and the cable; what is not there is no fault. */
export function removeNetwork(network: LabNetwork): void {
  for (const namespace of existingNamespaces(network.namespace))
    spawnSync('ip', ['netns', 'delete', namespace]);
  spawnSync('ip', ['link', 'delete', network.hostLink]);
}

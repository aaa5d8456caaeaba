/** What an appliance needs of its host, looked at without changing anything. */

import { createSocket } from 'node:dgram';
import { access, constants, stat, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { satisfies } from '../domain/version-range.ts';
import { size } from './format.ts';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** Without it `overdub up` fails. */
  readonly required: boolean;
  readonly detail: string;
  readonly remedy?: string;
}

export interface Wanted {
  readonly plugins: ReadonlySet<string>;
  readonly http: { readonly host?: string; readonly port?: number };
  readonly state: string;
}

interface Package {
  readonly name: string;
  readonly proof: string;
  /** The plugin that needs it. */
  readonly plugin: string;
}

const PACKAGES: readonly Package[] = [
  { name: 'ipxe', proof: '/usr/lib/ipxe/undionly.kpxe', plugin: 'boot-ipxe' },
  { name: 'shim-signed', proof: '/usr/lib/shim/shimx64.efi.signed', plugin: 'boot-grub' },
  {
    name: 'grub-efi-amd64-signed',
    proof: '/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed',
    plugin: 'boot-grub',
  },
  { name: 'pxelinux', proof: '/usr/lib/PXELINUX/lpxelinux.0', plugin: 'boot-pxelinux' },
  {
    name: 'syslinux-common',
    proof: '/usr/lib/syslinux/modules/bios/ldlinux.c32',
    plugin: 'boot-pxelinux',
  },
  { name: 'cpio', proof: '/usr/bin/cpio', plugin: 'agent' },
  { name: 'xz-utils', proof: '/usr/bin/xz', plugin: 'agent' },
  { name: 'zstd', proof: '/usr/bin/zstd', plugin: 'agent' },
  { name: 'kmod', proof: '/usr/sbin/depmod', plugin: 'agent' },
];
const NODE_RANGE = '>=22.18';
const LOW_SPACE_BYTES = 5_000_000_000;

/** Every check, in the order in which one would put them right. */
export async function hostChecks(wanted: Wanted): Promise<readonly Check[]> {
  const ports = wanted.plugins.has('boot-pxe') ? [67, 69, 4011] : [];
  return [
    nodeCheck(process.versions.node),
    systemCheck(),
    ...(await Promise.all(PACKAGES.filter(({ plugin }) => wanted.plugins.has(plugin)).map(packageCheck))),
    await stateCheck(wanted.state),
    await tcpCheck(wanted.http),
    ...(await Promise.all(ports.map(udpCheck))),
  ];
}

export function nodeCheck(version: string): Check {
  return {
    name: 'node',
    ok: satisfies(version, NODE_RANGE) === true,
    required: true,
    detail: `${version} (needs ${NODE_RANGE})`,
    remedy: 'Install Node 24, or run `npm ci`, which brings it along.',
  };
}

function systemCheck(): Check {
  return {
    name: 'system',
    ok: process.platform === 'linux',
    required: true,
    detail: `${process.platform} ${process.arch}`,
    remedy: 'Run the appliance on Linux, or in a Linux container.',
  };
}

async function packageCheck({ name, proof, plugin }: Package): Promise<Check> {
  const ok = await access(proof).then(
    () => true,
    () => false,
  );
  return {
    name: `package ${name}`,
    ok,
    required: false,
    detail: ok ? 'installed' : `not installed; ${plugin} needs it`,
    remedy: `apt-get install ${name}`,
  };
}

/** The directory, or the nearest parent that exists, must be writable. */
async function stateCheck(state: string): Promise<Check> {
  const nearest = await nearestExisting(state);
  const remedy = 'Choose another with --state, or give this user the right to write there.';
  try {
    if (!(await stat(nearest)).isDirectory()) throw new Error(`${nearest} is not a directory`);
    await access(nearest, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = await statfs(nearest);
    const free = bavail * bsize;
    return {
      name: 'state directory',
      ok: free >= LOW_SPACE_BYTES,
      required: false,
      detail: `${state}, ${size(free)} free`,
      remedy: 'Masters and snapshots need room: use a larger file system.',
    };
  } catch (error) {
    return { name: 'state directory', ok: false, required: true, detail: (error as Error).message, remedy };
  }
}

async function nearestExisting(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  const parent = dirname(path);
  return found !== undefined || parent === path ? path : nearestExisting(parent);
}

function tcpCheck({ host = '127.0.0.1', port = 7077 }: Wanted['http']): Promise<Check> {
  const server = createServer();
  const listening = new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, resolve);
  });
  return portCheck(`TCP ${host}:${port}`, listening, () => server.close());
}

function udpCheck(port: number): Promise<Check> {
  const socket = createSocket('udp4');
  const bound = new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ port, exclusive: true }, resolve);
  });
  return portCheck(`UDP ${port}`, bound, () => socket.close());
}

async function portCheck(name: string, opened: Promise<void>, close: () => void): Promise<Check> {
  const fields = { name: `port ${name}`, required: true };
  try {
    await opened;
    return { ...fields, ok: true, detail: 'free' };
  } catch (error) {
    const code = (error as { code?: string }).code ?? String(error);
    const taken = code === 'EADDRINUSE';
    return {
      ...fields,
      ok: false,
      detail: taken ? 'taken by another program' : code,
      remedy: taken
        ? `Stop what listens there (ss -lnp shows it), or configure another.`
        : 'Run as root, or give the program CAP_NET_BIND_SERVICE.',
    };
  } finally {
    try {
      close();
    } catch {
      // It never opened.
    }
  }
}

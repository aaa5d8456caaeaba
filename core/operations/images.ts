/** Which image a server is installed from, and what it asks of a machine. */

import type { Repository } from '../contracts/repository.ts';
import type { Machine } from '../domain/machine.ts';
import type { ManifestRef } from '../domain/manifest.ts';
import { formatMaster, type Master } from '../domain/master.ts';
import type { Server } from '../domain/server.ts';
import type { Snapshot } from '../domain/snapshot.ts';
import { OverdubError } from '../errors.ts';
import { type Kernel, kernelsIn, newestKernel } from './kernels.ts';

export interface InstallImage {
  readonly manifest: ManifestRef;
  /** From a master: the server gets fresh host keys and so on. From a snapshot it brings its own. */
  readonly fresh: boolean;
  /** `web@3` or `web-1@<snapshot id>`, for people. */
  readonly label: string;
  /** Id of the snapshot it is, if it is one. */
  readonly snapshot?: string;
}

/** The newest snapshot that is not suspect. */
export async function latestSnapshot(repository: Repository, server: string): Promise<Snapshot | undefined> {
  const good = (await repository.listSnapshots(server)).filter((snapshot) => !snapshot.suspect);
  return good.toSorted((a, b) => Date.parse(a.endedAt) - Date.parse(b.endedAt)).at(-1);
}

/** NOT_FOUND. */
export async function findMaster(
  repository: Repository,
  ref: { readonly name: string; readonly version?: number },
): Promise<Master> {
  const named = (await repository.listMasters()).filter(({ name }) => name === ref.name);
  const found =
    ref.version === undefined
      ? named.toSorted((a, b) => a.version - b.version).at(-1)
      : named.find(({ version }) => version === ref.version);
  if (found !== undefined) return found;
  const wanted = ref.version === undefined ? ref.name : `${ref.name}@${ref.version}`;
  throw new OverdubError(
    'NOT_FOUND',
    `There is no master ${wanted}.`,
    'List them: overdub master list; add one: overdub master import.',
  );
}

export function snapshotImage(snapshot: Snapshot): InstallImage {
  return {
    manifest: snapshot.manifest,
    fresh: false,
    label: `${snapshot.server}@${snapshot.id}`,
    snapshot: snapshot.id,
  };
}

/** What a server probably holds: its latest snapshot, else its master. */
export async function knownImage(repository: Repository, server: Server): Promise<ManifestRef | undefined> {
  const latest = await latestSnapshot(repository, server.name);
  if (latest !== undefined) return latest.manifest;
  const { master } = server;
  if (master === undefined) return undefined;
  const masters = await repository.listMasters();
  return masters.find(({ name, version }) => name === master.name && version === master.version)?.manifest;
}

/** What a provision installs: a server that has a past gets it back, a new one starts from its master. CONFLICT. */
export async function imageFor(repository: Repository, server: Server): Promise<InstallImage> {
  const latest = await latestSnapshot(repository, server.name);
  if (latest !== undefined) return snapshotImage(latest);
  if (server.master === undefined) {
    throw new OverdubError(
      'CONFLICT',
      `${server.name} has neither a master nor a snapshot, so there is nothing to install.`,
      'Create it with --master NAME, or take a snapshot of it first.',
    );
  }
  const master = await findMaster(repository, server.master);
  return { manifest: master.manifest, fresh: true, label: formatMaster(master) };
}

/** MASTER_UNBOOTABLE when the image has no kernel with its initramfs. */
export async function assertBootable(repository: Repository, image: InstallImage): Promise<Kernel> {
  const paths: string[] = [];
  for await (const { path, type } of repository.readManifest(image.manifest, { under: 'boot' })) {
    if (type === 'file' || type === 'hardlink') paths.push(path);
  }
  const kernel = newestKernel(kernelsIn(paths));
  if (kernel !== undefined) return kernel;
  throw new OverdubError(
    'MASTER_UNBOOTABLE',
    `${image.label} has no kernel with its initramfs in /boot, so no machine can boot it.`,
    'Install a kernel package in the image (Debian: linux-image-amd64 and initramfs-tools) and import it again.',
  );
}

const MIB = 1024 * 1024;

/** Bytes a disk must have: contents with a seventh of room, a block and an inode an entry, partitions, journal. */
export function neededDiskBytes(manifest: ManifestRef): number {
  return Math.ceil(manifest.bytes * 1.15) + manifest.entries * 4096 + 512 * MIB;
}

/** DISK_UNSUITABLE, naming every disk's size, when the machine's disks are known and none is big enough. */
export function assertDiskFits(machine: Machine, manifest: ManifestRef): void {
  const disks = machine.facts?.disks;
  if (disks === undefined) return;
  const needed = neededDiskBytes(manifest);
  const fixed = disks.filter((disk) => !disk.removable);
  if (fixed.some((disk) => disk.bytes >= needed)) return;
  const sizes = fixed.map((disk) => `${disk.name} ${mib(disk.bytes)}`).join(', ');
  throw new OverdubError(
    'DISK_UNSUITABLE',
    `${machine.name} has no disk of ${mib(needed)} or more: ${sizes === '' ? 'it has no fixed disk' : sizes}.`,
    'Choose a machine with a larger disk, or make the image smaller.',
  );
}

/** CONFLICT when the machine's processor is known and cannot run the image. */
export function assertArchFits(machine: Machine, master: Master): void {
  if (machine.arch === undefined || machine.arch === master.arch) return;
  throw new OverdubError(
    'CONFLICT',
    `${machine.name} is ${machine.arch}, ${formatMaster(master)} is for ${master.arch}.`,
    'Choose a machine of that architecture, or import a master for this one.',
  );
}

/** Rounded up: a disk just too small must not look large enough. */
function mib(bytes: number): string {
  return `${Math.ceil(bytes / MIB)} MiB`;
}

/** Will the image's kernel see the machine's disk and network once the ramdisk's own kernel is gone? */

import type { Repository } from '../contracts/repository.ts';
import type { DiskFacts, DrivenDevice, Machine, NicFacts } from '../domain/machine.ts';
import { OverdubError } from '../errors.ts';
import { type InstallImage, neededDiskBytes } from './images.ts';
import type { Kernel } from './kernels.ts';

/** Merged and split /usr. */
const MODULE_HOMES = ['usr/lib/modules', 'lib/modules'];
/** `depmod` writes a few MB at most. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024;

/** What one kernel can drive: the indexes that depmod(8) leaves beside its modules. */
interface KernelDrivers {
  /** Names of its modules, built in ones included, with `_` for `-`. */
  readonly modules: ReadonlySet<string>;
  /** Patterns of modaliases (`pci:v00008086d*`), as in modules.alias. */
  readonly aliases: readonly string[];
}

/**
 * MASTER_UNBOOTABLE, naming the device and its module, when the machine's devices are known and the image's kernel
 * has a driver for no disk that is big enough, or for no interface. A kernel without indexes is let pass: one that
 * has everything built in needs none.
 */
export async function assertDriven(
  repository: Repository,
  image: InstallImage,
  kernel: Kernel,
  machine: Machine,
): Promise<void> {
  if (machine.facts === undefined) return;
  const drivers = await driversOf(repository, image, kernel);
  if (drivers === undefined) return;
  const needed = neededDiskBytes(image.manifest);
  const disks = machine.facts.disks.filter((disk) => !disk.removable && disk.bytes >= needed);
  assertOne('disk', disks, drivers, { image, kernel, machine });
  assertOne('network interface', machine.facts.nics, drivers, { image, kernel, machine });
}

/** Names of the disks that the image's kernel has no driver for, as the ramdisk's last report names them. */
export async function disksWithoutDriver(
  repository: Repository,
  image: InstallImage,
  kernel: Kernel,
  { facts }: Machine,
): Promise<string[]> {
  const drivers = facts === undefined ? undefined : await driversOf(repository, image, kernel);
  if (facts === undefined || drivers === undefined) return [];
  return lackingOf(facts.disks, drivers).flatMap(({ name, modules }) => (modules.length === 0 ? [] : [name]));
}

/** The modules that each device needs and the kernel lacks. */
function lackingOf(devices: readonly (DiskFacts | NicFacts)[], drivers: KernelDrivers) {
  return devices.map(({ name, devices: driven }) => ({
    name,
    modules: (driven ?? []).filter((device) => !drives(drivers, device)).map(({ module }) => module),
  }));
}

function assertOne(
  what: string,
  candidates: readonly (DiskFacts | NicFacts)[],
  drivers: KernelDrivers,
  { image, kernel, machine }: { image: InstallImage; kernel: Kernel; machine: Machine },
): void {
  const lacking = lackingOf(candidates, drivers);
  if (lacking.length === 0 || lacking.some(({ modules }) => modules.length === 0)) return;
  const named = lacking.map(({ name, modules }) => `${name} (${modules.join(', ')})`).join(', ');
  throw new OverdubError(
    'MASTER_UNBOOTABLE',
    `The kernel ${kernel.version} of ${image.label} has no driver for any ${what} of ${machine.name}: ${named}.`,
    'Install a kernel with these modules in the image (Debian: linux-image-amd64 instead of -cloud-amd64) and ' +
      'import it again, or choose another machine.',
  );
}

function drives({ modules, aliases }: KernelDrivers, { module, modalias }: DrivenDevice): boolean {
  return modules.has(underscored(module)) || aliases.some((pattern) => matches(pattern, modalias));
}

async function driversOf(
  repository: Repository,
  image: InstallImage,
  { version }: Kernel,
): Promise<KernelDrivers | undefined> {
  const [dep, builtin, alias] = await Promise.all(
    ['modules.dep', 'modules.builtin', 'modules.alias'].map((name) =>
      readIndex(repository, image, `${version}/${name}`),
    ),
  );
  if (dep === undefined) return undefined;
  const paths = [...dep.map((line) => line.split(':', 1)[0] ?? ''), ...(builtin ?? [])];
  return {
    modules: new Set(paths.map(moduleName)),
    aliases: (alias ?? []).flatMap((line) => /^alias (\S+) /.exec(line)?.[1] ?? []),
  };
}

/** Lines of a kernel's index; undefined when the image has none. */
async function readIndex(
  repository: Repository,
  image: InstallImage,
  name: string,
): Promise<string[] | undefined> {
  for (const home of MODULE_HOMES) {
    for await (const { content } of repository.readManifest(image.manifest, { under: `${home}/${name}` })) {
      if (content === undefined || content.bytes > MAX_INDEX_BYTES) continue;
      const pieces: Uint8Array[] = [];
      for await (const piece of repository.readContent(content)) pieces.push(piece);
      return Buffer.concat(pieces).toString('latin1').split('\n');
    }
  }
  return undefined;
}

/** `kernel/drivers/ata/ahci.ko.xz` → `ahci` */
function moduleName(path: string): string {
  return underscored(path.split('/').at(-1)?.split('.', 1)[0] ?? '');
}

function underscored(name: string): string {
  return name.replaceAll('-', '_');
}

/**
 * fnmatch(3) as depmod's patterns use it: `*`, `?` and `[…]`. What stands between two stars is looked for from left
 * to right, never twice: no pattern takes more than their product in time.
 */
function matches(pattern: string, modalias: string): boolean {
  const literal = /^[^*?[]*/.exec(pattern)?.[0] ?? '';
  if (!modalias.startsWith(literal)) return false;
  const [head = '', ...rest] = pattern.split('*');
  const tail = rest.pop();
  if (tail === undefined) return lengthAt(head, modalias, 0) === modalias.length;
  let at = lengthAt(head, modalias, 0);
  for (const part of rest) {
    if (at === undefined) return false;
    let from = at;
    while (lengthAt(part, modalias, from) === undefined && from < modalias.length) from += 1;
    at = lengthAt(part, modalias, from);
  }
  const ending = modalias.length - tail.replace(/\[[^\]]*\]/g, '?').length;
  return at !== undefined && ending >= at && lengthAt(tail, modalias, ending) === modalias.length;
}

/** Where the text ends that `part`, which holds no star, covers from `from` on; undefined where it does not fit. */
function lengthAt(part: string, text: string, from: number): number | undefined {
  const source = part.replace(/[.+^${}()|\\]/g, '\\$&').replaceAll('?', '.');
  const found = new RegExp(source, 'y');
  found.lastIndex = from;
  return found.test(text) ? found.lastIndex : undefined;
}

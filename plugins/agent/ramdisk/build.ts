/** `overdub ramdisk build`: kernel + initramfs from Debian packages, the same bytes from the same inputs. */

import { createHash, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { type Arch, type Log, OverdubError } from '@overdub/core';
import { ARCHITECTURES } from './architectures.ts';
import { type CpioNode, cpio } from './cpio.ts';
import { withoutSections } from './elf.ts';
import { kernel } from './kernel.ts';
import * as layout from './layout.ts';
import { npmPackageFiles } from './npm-packages.ts';
import { type DebianPackage, downloadPackages, resolvePackages, unpackPackage } from './packages.ts';
import { UnpackedFiles } from './unpacked.ts';
import { userland } from './userland.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);
/** Measured on this ramdisk (kernel modules, Node, tools): see README. Parts are cached, so it is paid once. */
const ZSTD_LEVEL = 19;
const HERE = import.meta.dirname;

export interface BuildRamdisk {
  /** `vmlinuz`, `initrd` and `ramdisk.json` are put here, each atomically, `ramdisk.json` last. */
  readonly outDir: string;
  /** Downloads and compressed parts, reused by the next build. */
  readonly cacheDir: string;
  /** Release to prefer among the host's own apt sources. */
  readonly suite?: string;
  /** Processor of the machines; need not be the host's. */
  readonly arch: Arch;
  /** Fetch fresh package indexes first. */
  readonly refresh?: boolean;
  /** What `/overdub/loader.mjs` is. Default: the agent's own. */
  readonly loader?: string;
  /** Node's binary for the ramdisk. Default: that of the architecture's npm package. */
  readonly node?: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export interface RamdiskFile {
  readonly bytes: number;
  readonly sha256: string;
}

/** What `ramdisk.json` says. `digest` is over all inputs: equal digests, equal files. */
export interface RamdiskInfo {
  readonly digest: string;
  readonly arch: Arch;
  readonly kernel: string;
  readonly files: { readonly vmlinuz: RamdiskFile; readonly initrd: RamdiskFile };
  readonly packages: readonly Pick<DebianPackage, 'name' | 'version' | 'sha256'>[];
}

/**
 * Builds the ramdisk, or returns at once when `outDir` holds what the inputs (package versions, Node, loader,
 * layout) ask for. No downloaded program is executed. Safe to interrupt and to run twice at once.
 * @throws PREREQUISITE_MISSING (host programs, packages, Node), STATE_UNWRITABLE, IMAGE_INVALID
 */
export async function buildRamdisk(request: BuildRamdisk): Promise<RamdiskInfo> {
  await ensureDirectories(request);
  const own = await ownInputs(request);
  const packages = await wantedPackages(request);
  const digest = inputDigest(request.arch, packages, own);
  const present = await readRamdiskInfo(request.outDir);
  if (present?.digest === digest && (await isWhole(request.outDir, present))) return present;

  request.log.info({ packages: packages.length }, 'building the ramdisk');
  await removeAbandoned(request.cacheDir);
  const scratch = await mkdtemp(join(request.cacheDir, `unpack-${process.pid}-`));
  try {
    const files = await downloadPackages(packages, {
      ...request,
      debian: ARCHITECTURES[request.arch].debian,
    });
    const unpacked = new UnpackedFiles();
    for (const [name, deb] of files) {
      const directory = join(scratch, name);
      await unpackPackage(deb, directory, request.signal);
      await unpacked.add(directory);
    }
    return await assemble(request, unpacked, own, { digest, packages });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function ensureDirectories({ outDir, cacheDir }: BuildRamdisk): Promise<void> {
  for (const directory of [outDir, join(cacheDir, 'parts')]) {
    await mkdir(directory, { recursive: true }).catch((cause) => {
      throw new OverdubError(
        'STATE_UNWRITABLE',
        `${directory} cannot be made: ${cause.message}`,
        'Choose another directory with --out, or set XDG_CACHE_HOME.',
        { cause },
      );
    });
  }
}

/** What a build that was killed unpacked is half a gigabyte: gone with the next build, unless its process lives. */
async function removeAbandoned(cacheDir: string): Promise<void> {
  for (const name of await readdir(cacheDir)) {
    const pid = /^unpack-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || (await stat(`/proc/${pid}`).catch(() => undefined))) continue;
    await rm(join(cacheDir, name), { recursive: true, force: true });
  }
}

interface OwnInputs {
  readonly node: Buffer;
  /** Path in the ramdisk → our own file. */
  readonly files: ReadonlyMap<string, Buffer>;
}

async function ownInputs(request: BuildRamdisk): Promise<OwnInputs> {
  const read = (path: string) =>
    readFile(path).catch((cause) => {
      throw new OverdubError(
        'PREREQUISITE_MISSING',
        `The ramdisk needs ${path}, which cannot be read: ${cause.message}`,
        'Run `npm ci` in the installation, so that it is complete.',
        { cause },
      );
    });
  const { nodePackage, native } = ARCHITECTURES[request.arch];
  const loader = await read(request.loader ?? join(HERE, '..', 'loader', 'loader.mjs'));
  const [node] =
    request.node === undefined
      ? await npmPackageFiles(nodePackage, ['bin/node'], request)
      : [await read(request.node)];
  return {
    node: node as Buffer,
    files: new Map([
      ['init', await read(join(HERE, 'files', 'init.sh'))],
      ['etc/udhcpc.sh', await read(join(HERE, 'files', 'udhcpc.sh'))],
      ['overdub/dhcp6.mjs', await read(join(HERE, 'files', 'dhcp6.mjs'))],
      ['overdub/loader.mjs', loader],
      ...(await nativeFiles(native, request)),
    ]),
  };
}

async function nativeFiles(
  packages: (typeof ARCHITECTURES)[Arch]['native'],
  request: BuildRamdisk,
): Promise<[string, Buffer][]> {
  const nodes: [string, Buffer][] = [];
  for (const { name, files } of packages) {
    const contents = await npmPackageFiles(name, files, request);
    contents.forEach((content, at) => {
      nodes.push([`node_modules/${name}/${files[at]}`, content]);
    });
  }
  return nodes;
}

async function wantedPackages(request: BuildRamdisk): Promise<DebianPackage[]> {
  const { debian, kernelPackages, packages } = ARCHITECTURES[request.arch];
  const named: readonly string[] = [...layout.PACKAGES, ...packages];
  const closure = await resolvePackages(named, [kernelPackages], { ...request, debian });
  return closure.filter(
    ({ name }) =>
      named.includes(name) ||
      /^linux-(image|modules)-/.test(name) ||
      (name.startsWith('lib') && !layout.UNWANTED_PACKAGES.test(name)),
  );
}

function inputDigest(arch: Arch, packages: readonly DebianPackage[], own: OwnInputs): string {
  const { debian, multiarch, modules, trees } = ARCHITECTURES[arch];
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  const inputs = {
    version: layout.LAYOUT_VERSION,
    level: ZSTD_LEVEL,
    zstd: process.versions.zstd,
    layout: [layout.PROGRAMS, layout.LINKS, layout.LIBRARIES, layout.MODULES],
    architecture: [debian, multiarch, modules],
    trees: [...layout.TREES, ...trees].map(({ path, not }) => [path, not?.source]),
    packages: packages.map(({ name, version, sha256: digest }) => [name, version, digest]),
    node: sha256(own.node),
    files: [...own.files].map(([path, content]) => [path, sha256(content)]),
  };
  return sha256(Buffer.from(JSON.stringify(inputs)));
}

async function assemble(
  request: BuildRamdisk,
  unpacked: UnpackedFiles,
  own: OwnInputs,
  about: { readonly digest: string; readonly packages: readonly DebianPackage[] },
): Promise<RamdiskInfo> {
  const architecture = ARCHITECTURES[request.arch];
  const { version, image, nodes: modules } = await kernel(unpacked, architecture.modules, request.signal);
  const node: CpioNode = { kind: 'file', mode: 0o755, content: withoutSections(own.node) };
  const ours = new Map<string, CpioNode>(
    [...own.files].map(([path, content]) => [path, { kind: 'file', mode: 0o755, content }]),
  );
  // The kernel unpacks archives one after another, each its own zstd frame; each is cached by its content.
  const parts = [
    await userland(unpacked, architecture, [own.node]),
    modules,
    new Map<string, CpioNode>([['usr/bin/node', node]]),
    ours,
  ];
  const compressed = await Promise.all(parts.map((part) => compressedPart(request, part)));
  const initrd = Buffer.concat(compressed);
  const info: RamdiskInfo = {
    digest: about.digest,
    arch: request.arch,
    kernel: version,
    files: { vmlinuz: describe(image), initrd: describe(initrd) },
    packages: about.packages.map(({ name, version: v, sha256 }) => ({ name, version: v, sha256 })),
  };
  request.signal.throwIfAborted();
  await writeAtomically(join(request.outDir, 'vmlinuz'), image);
  await writeAtomically(join(request.outDir, 'initrd'), initrd);
  await writeAtomically(
    join(request.outDir, 'ramdisk.json'),
    Buffer.from(`${JSON.stringify(info, null, 2)}\n`),
  );
  request.log.info({ vmlinuz: image.length, initrd: initrd.length, kernel: version }, 'ramdisk built');
  return info;
}

function describe(content: Buffer): RamdiskFile {
  return { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
}

async function compressedPart(
  { cacheDir }: BuildRamdisk,
  nodes: ReadonlyMap<string, CpioNode>,
): Promise<Buffer> {
  const archive = cpio(nodes);
  const key = createHash('sha256').update(archive).digest('hex');
  const path = join(cacheDir, 'parts', `${key}-${ZSTD_LEVEL}-${process.versions.zstd}.zst`);
  const cached = await readFile(path).catch(() => undefined);
  if (cached !== undefined && (await unpacksTo(cached, key))) return cached;
  const frame = await compress(archive, {
    params: {
      [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL,
      [constants.ZSTD_c_checksumFlag]: 1,
      [constants.ZSTD_c_contentSizeFlag]: 1,
    },
    pledgedSrcSize: archive.length,
  });
  // The EFI stub puts initrds end to end, and an uncompressed archive must begin at a multiple of 4.
  const part = Buffer.concat([frame, Buffer.alloc(-frame.length & 511)]);
  await writeAtomically(path, part);
  return part;
}

/** A cached part is trusted only after it was unpacked again: a power cut can leave an empty file behind. */
async function unpacksTo(part: Buffer, sha256: string): Promise<boolean> {
  const archive = await decompress(part).catch(() => undefined);
  return archive !== undefined && createHash('sha256').update(archive).digest('hex') === sha256;
}

async function writeAtomically(path: string, content: Buffer): Promise<void> {
  const temporary = `${path}.${randomUUID()}.new`;
  await writeFile(temporary, content);
  await rename(temporary, path);
}

/** What a directory's `ramdisk.json` says; undefined when there is none or it is not readable as one. */
export async function readRamdiskInfo(dir: string): Promise<RamdiskInfo | undefined> {
  const text = await readFile(join(dir, 'ramdisk.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const info = JSON.parse(text) as RamdiskInfo;
    return typeof info.digest === 'string' && info.files.initrd.bytes > 0 ? info : undefined;
  } catch {
    return undefined;
  }
}

async function isWhole(dir: string, info: RamdiskInfo): Promise<boolean> {
  for (const name of ['vmlinuz', 'initrd'] as const) {
    const file = join(dir, name);
    const { size } = await stat(file).catch(() => ({ size: -1 }));
    if (size !== info.files[name].bytes) return false;
    if (describe(await readFile(file)).sha256 !== info.files[name].sha256) return false;
  }
  return true;
}

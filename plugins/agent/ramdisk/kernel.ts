/** Kernel image and modules out of unpacked kernel packages. */

import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip, zstdDecompress } from 'node:zlib';
import { OverdubError } from '@overdub/core';
import { run } from './command.ts';
import type { CpioNode } from './cpio.ts';
import { moduleClosure, moduleIndexes } from './kernel-modules.ts';
import { MODULES } from './layout.ts';
import type { UnpackedFiles } from './unpacked.ts';

const unzstd = promisify(zstdDecompress);
const ungzip = promisify(gunzip);
const GZIP_MAGIC = 0x1f8b;

export interface Kernel {
  readonly version: string;
  readonly image: Buffer;
  /** Modules and their indexes. */
  readonly nodes: Map<string, CpioNode>;
}

/**
 * Finds the one kernel among the files and takes the modules a ramdisk needs, uncompressed: those of every ramdisk and
 * `alsoModules`. The image is what firmware and loaders start, as it was signed.
 */
export async function kernel(
  unpacked: UnpackedFiles,
  alsoModules: readonly string[],
  signal: AbortSignal,
): Promise<Kernel> {
  const [imagePath] = unpacked.under('boot').filter((path) => path.startsWith('boot/vmlinuz-'));
  const image = imagePath === undefined ? undefined : await unpacked.read(imagePath);
  if (imagePath === undefined || image === undefined) {
    throw new OverdubError(
      'IMAGE_INVALID',
      'The kernel package holds no /boot/vmlinuz-*.',
      'Use a supported release (Debian 12 or 13, Ubuntu LTS) as the source of packages.',
    );
  }
  const version = imagePath.slice('boot/vmlinuz-'.length);
  const base = `usr/lib/modules/${version}`;
  const paths = unpacked
    .under(`${base}/kernel`)
    .filter((path) => /\.ko(\.(xz|zst|gz))?$/.test(path))
    .map((path) => path.slice(base.length + 1));
  const selection = { ...MODULES, include: [...MODULES.include, ...alsoModules] };
  const chosen = await moduleClosure(paths, selection, (path) =>
    readModule(unpacked, `${base}/${path}`, signal),
  );

  const nodes = new Map<string, CpioNode>();
  const plain = (path: string) => path.replace(/\.(xz|zst|gz)$/, '');
  for (const [path, { file }] of chosen) {
    nodes.set(`${base}/${plain(path)}`, { kind: 'file', mode: 0o644, content: file });
  }
  const indexes = moduleIndexes(new Map([...chosen].map(([path, { info }]) => [plain(path), info])));
  nodes.set(`${base}/modules.dep`, { kind: 'file', mode: 0o644, content: Buffer.from(indexes.dep) });
  nodes.set(`${base}/modules.alias`, { kind: 'file', mode: 0o644, content: Buffer.from(indexes.alias) });
  const builtin = await unpacked.read(`${base}/modules.builtin`);
  if (builtin) nodes.set(`${base}/modules.builtin`, { kind: 'file', mode: 0o644, content: builtin });
  return { version, image: await startable(image), nodes };
}

/** Ubuntu packs its arm64 kernels, already signed, with gzip around them, which firmware and older GRUBs do not undo. */
async function startable(image: Buffer): Promise<Buffer> {
  return image.readUInt16BE(0) === GZIP_MAGIC ? ungzip(image) : image;
}

async function readModule(unpacked: UnpackedFiles, path: string, signal: AbortSignal): Promise<Buffer> {
  const found = await unpacked.resolve(path);
  if (found === undefined) throw new Error(`${path} is a link to nowhere`);
  const bytes = await readFile(found.real);
  if (path.endsWith('.zst')) return unzstd(bytes);
  if (path.endsWith('.xz'))
    return run({ program: 'xz', package: 'xz-utils' }, ['-dc'], { signal, input: bytes });
  if (path.endsWith('.gz'))
    return run({ program: 'gzip', package: 'gzip' }, ['-dc'], { signal, input: bytes });
  return bytes;
}

/** The ramdisk's programs and their libraries, as archive nodes. */

import { posix } from 'node:path';
import { OverdubError } from '@overdub/core';
import type { RamdiskArchitecture, Tree } from './architectures.ts';
import type { CpioNode } from './cpio.ts';
import { interpreter, neededLibraries, withoutSections } from './elf.ts';
import { LIBRARIES, LINKS, PROGRAMS, TREES } from './layout.ts';
import type { UnpackedFiles } from './unpacked.ts';

const EXECUTABLE = 0o755;

/** Everything of {@link PROGRAMS}, {@link LIBRARIES}, {@link TREES}, the architecture's own trees and what `alsoNeededBy` links against. */
export async function userland(
  unpacked: UnpackedFiles,
  { multiarch, trees }: Pick<RamdiskArchitecture, 'multiarch' | 'trees'>,
  alsoNeededBy: readonly Buffer[],
): Promise<Map<string, CpioNode>> {
  const nodes = new Map<string, CpioNode>(skeleton());
  const binaries = [...alsoNeededBy];
  for (const name of PROGRAMS) {
    const content = (await unpacked.read(`usr/sbin/${name}`)) ?? (await unpacked.read(`usr/bin/${name}`));
    if (content === undefined) throw missingFile(name, 'a package that should bring it does not');
    binaries.push(content);
    nodes.set(`usr/bin/${name}`, { kind: 'file', mode: EXECUTABLE, content: withoutSections(content) });
  }
  for (const [name, target] of Object.entries(LINKS))
    nodes.set(`usr/bin/${name}`, { kind: 'symlink', target });
  for (const tree of [...TREES, ...trees]) await addTree(nodes, unpacked, tree);
  await addLibraries(nodes, { unpacked, directories: libraryDirectories(multiarch) }, binaries);
  return nodes;
}

function skeleton(): [string, CpioNode][] {
  const directory = (mode: number): CpioNode => ({ kind: 'directory', mode });
  // One directory of programs under all four names: releases differ in where they put each.
  const merged = { bin: 'usr/bin', sbin: 'usr/bin', 'usr/sbin': 'bin', lib: 'usr/lib', lib64: 'usr/lib64' };
  const links = Object.entries(merged).map(([name, target]): [string, CpioNode] => [
    name,
    { kind: 'symlink', target },
  ]);
  const empty = [
    'dev',
    'etc',
    'mnt',
    'proc',
    'run',
    'sys',
    'usr/lib64',
    'usr/share/locale',
    'var/lib',
    'var/cache',
  ];
  return [
    ...links,
    ...empty.map((name): [string, CpioNode] => [name, directory(0o755)]),
    ['root', directory(0o700)],
    ['tmp', directory(0o1777)],
    // Before devtmpfs is mounted the kernel opens /dev/console for process 1.
    ['dev/console', { kind: 'device', mode: 0o600, major: 5, minor: 1 }],
    ['dev/null', { kind: 'device', mode: 0o666, major: 1, minor: 3 }],
    ['etc/passwd', textFile('root:x:0:0:root:/root:/bin/sh\n')],
    ['etc/group', textFile('root:x:0:\ndisk:x:6:\n')],
    ['etc/nsswitch.conf', textFile('hosts: files dns\n')],
    ['etc/mtab', { kind: 'symlink', target: '../proc/self/mounts' }],
  ];
}

function textFile(text: string): CpioNode {
  return { kind: 'file', mode: 0o644, content: Buffer.from(text) };
}

async function addTree(
  nodes: Map<string, CpioNode>,
  unpacked: UnpackedFiles,
  { path, not }: Tree,
): Promise<void> {
  const names = unpacked.under(path).filter((name) => !not?.test(name));
  if (names.length === 0) throw missingFile(path, 'no package brings it');
  for (const name of names) {
    const content = await unpacked.read(name);
    if (content === undefined) throw missingFile(name, 'it is a link to nowhere');
    nodes.set(name, { kind: 'file', mode: 0o644, content });
  }
}

interface LibrarySource {
  readonly unpacked: UnpackedFiles;
  readonly directories: readonly string[];
}

function libraryDirectories(multiarch: string): string[] {
  return [`usr/lib/${multiarch}`, 'usr/lib64', 'usr/lib'];
}

async function addLibraries(
  nodes: Map<string, CpioNode>,
  from: LibrarySource,
  binaries: readonly Buffer[],
): Promise<void> {
  const wanted: string[] = [...LIBRARIES, ...binaries.flatMap(neededLibraries)];
  const loaders = binaries.flatMap((binary) => interpreter(binary) ?? []);
  const done = new Set<string>();
  for (const soname of wanted) {
    if (done.has(soname)) continue;
    done.add(soname);
    const path = await findLibrary(from, soname);
    const content = path === undefined ? undefined : await from.unpacked.read(path);
    if (path === undefined || content === undefined)
      throw missingFile(soname, 'a program of the ramdisk needs it');
    nodes.set(path, { kind: 'file', mode: EXECUTABLE, content: withoutSections(content) });
    wanted.push(...neededLibraries(content));
  }
  for (const loader of loaders.map((path) => path.replace(/^\//, 'usr/'))) {
    const name = posix.basename(loader);
    const real = await findLibrary(from, name);
    if (real === undefined) throw missingFile(loader, 'it is the dynamic loader of the ramdisk’s programs');
    if (real !== loader) nodes.set(loader, { kind: 'symlink', target: `/${real}` });
  }
}

async function findLibrary(
  { unpacked, directories }: LibrarySource,
  soname: string,
): Promise<string | undefined> {
  for (const directory of directories) {
    const path = `${directory}/${soname}`;
    if (await unpacked.resolve(path)) return path;
  }
  return undefined;
}

function missingFile(path: string, why: string): OverdubError {
  return new OverdubError(
    'IMAGE_INVALID',
    `The ramdisk cannot be built: ${path} is in none of the downloaded packages; ${why}.`,
    'Use a supported release (Debian 12 or 13, Ubuntu LTS) as the source of packages.',
  );
}

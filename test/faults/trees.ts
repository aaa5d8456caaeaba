/** Small directory trees that pass for a Linux root, and whether an image still holds one, byte for byte. */

import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { expect } from 'vitest';
import type { Appliance } from './overdub.ts';

export interface TreeOptions {
  /** `e_machine` of its programs; default 62, x86-64. */
  readonly machine?: number;
  readonly kernel?: boolean;
  /** Bytes of incompressible data in `var/lib/data`. */
  readonly dataBytes?: number;
}

/** Makes the tree anew; what lay there goes. */
export async function makeTree(root: string, options: TreeOptions = {}): Promise<string> {
  const { machine = 62, kernel = true, dataBytes = 300_000 } = options;
  await rm(root, { recursive: true, force: true });
  for (const name of ['boot', 'etc', 'usr/bin', 'var/lib'])
    await mkdir(join(root, name), { recursive: true });
  await writeFile(join(root, 'usr/bin/sh'), elfHeader(machine), { mode: 0o755 });
  await writeFile(join(root, 'etc/hostname'), 'prototype\n');
  await writeFile(join(root, 'var/lib/data'), randomBytes(dataBytes));
  if (kernel) {
    await writeFile(join(root, 'boot/vmlinuz-6.1.0-1-amd64'), randomBytes(20_000));
    await writeFile(join(root, 'boot/initrd.img-6.1.0-1-amd64'), randomBytes(20_000));
  }
  return root;
}

/** An ELF header of a 64-bit little-endian program (System V ABI, gabi §4). */
export function elfHeader(machine: number): Buffer {
  const header = Buffer.alloc(64);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(header);
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(machine, 18);
  return header;
}

/** Path → SHA-256 of every file below a directory. */
export async function digestsOf(root: string): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    digests.set(relative(root, path), sha256(await readFile(path)));
  }
  return digests;
}

/** Reads every file of an image through the API; each must have the digest it had on its machine. */
export async function expectWhole(
  appliance: Appliance,
  image: string,
  digests: ReadonlyMap<string, string>,
): Promise<void> {
  const base = `/images/${encodeURIComponent(image)}`;
  const listing = await (await appliance.get(`${base}/files`)).text();
  const entries = listing
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { path: string; type: string });
  const files = entries.filter(({ type }) => type === 'file').map(({ path }) => path);
  expect(files.sort()).toEqual([...digests.keys()].sort());
  for (const path of files) {
    const answer = await appliance.get(`${base}/content?path=${encodeURIComponent(path)}`);
    expect([path, sha256(Buffer.from(await answer.arrayBuffer()))]).toEqual([path, digests.get(path)]);
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

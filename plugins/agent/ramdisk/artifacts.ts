import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Arch, type Artifact, OverdubError } from '@overdub/core';
import { buildCommand, ramdiskSubdirectory } from './architectures.ts';
import { readRamdiskInfo } from './build.ts';
import { sessionCpio } from './session.ts';

/** Small enough for a TFTP server's many transfers at once, large enough for HTTP. */
const READ_BYTES = 256 * 1024;

export interface RamdiskArtifactsOptions {
  /** Where `buildRamdisk` put its files. */
  readonly dir: string;
  /** Base URL that machines reach the appliance under; asked anew for every session archive. */
  readonly url: () => string;
}

/**
 * Answers `boot.artifact` for `ramdisk/<arch>/vmlinuz`, `ramdisk/<arch>/initrd` and `session/<nonce>.cpio`;
 * undefined for every other name, and for arm64 as long as nobody built its ramdisk. Bytes of a ramdisk rebuilt
 * meanwhile are never mixed into a read. Which nonces mean something is the appliance's business: any well-formed one
 * gets its archive.
 */
export function createRamdiskArtifacts(
  options: RamdiskArtifactsOptions,
): (name: string) => Promise<Artifact | undefined> {
  return async (name) => {
    const [, arch, file] = /^ramdisk\/(x86_64|arm64)\/(vmlinuz|initrd)$/.exec(name) ?? [];
    if (arch !== undefined && file !== undefined) {
      return fileArtifact(options.dir, arch as Arch, file as 'vmlinuz' | 'initrd');
    }
    const nonce = /^session\/([A-Za-z0-9_-]{1,128})\.cpio$/.exec(name)?.[1];
    if (nonce !== undefined) return bytesArtifact(sessionCpio({ url: options.url(), nonce }));
    return undefined;
  };
}

async function fileArtifact(
  base: string,
  arch: Arch,
  name: 'vmlinuz' | 'initrd',
): Promise<Artifact | undefined> {
  const dir = join(base, ramdiskSubdirectory(arch));
  const info = await readRamdiskInfo(dir);
  // Every appliance is meant to have x86-64's; whether there are ARM machines is for its owner to say.
  if (info === undefined && arch !== 'x86_64') return undefined;
  const path = join(dir, name);
  const seen = await stat(path).catch(() => undefined);
  if (info === undefined || seen?.size !== info.files[name].bytes) {
    throw new OverdubError(
      'NOT_FOUND',
      `There is no complete ramdisk in ${dir}, so no machine can boot into it.`,
      `Run \`${buildCommand(arch)}\`.`,
    );
  }
  const { bytes, sha256 } = info.files[name];
  return {
    bytes,
    contentType: 'application/octet-stream',
    etag: sha256,
    openFile: () => openSame(path, seen),
    read: (range) => readSame(path, seen, range?.offset ?? 0, range?.length ?? bytes),
  };
}

/** The very file that was seen, not one put in its place since. */
async function openSame(path: string, seen: Stats): Promise<FileHandle> {
  const file = await open(path);
  const { ino, mtimeMs } = await file.stat();
  if (ino === seen.ino && mtimeMs === seen.mtimeMs) return file;
  await file.close();
  throw new OverdubError('CONFLICT', `${path} was rebuilt while it was read.`, 'Boot the machine again.');
}

/** Reads from the very file that was seen; one put in its place since then is refused, never mixed in. */
async function* readSame(
  path: string,
  seen: Stats,
  offset: number,
  length: number,
): AsyncIterable<Uint8Array> {
  const file = await openSame(path, seen);
  try {
    const end = Math.min(offset + length, seen.size);
    for (let at = offset; at < end; ) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(READ_BYTES, end - at)), {
        position: at,
      });
      if (bytesRead === 0) throw new Error(`${path} ended at byte ${at}, before ${end}`);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

function bytesArtifact(content: Buffer): Artifact {
  return {
    bytes: content.length,
    contentType: 'application/x-cpio',
    etag: createHash('sha256').update(content).digest('hex'),
    read: (range) =>
      Readable.from([content.subarray(range?.offset ?? 0, range ? range.offset + range.length : undefined)]),
  };
}

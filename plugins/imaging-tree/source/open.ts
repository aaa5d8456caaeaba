/** Tells what a path is and opens it: a directory, a tar, an OCI or docker image archive. */

import { lstat, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageSource } from '@overdub/core';
import { OverdubError } from '@overdub/core/agent';
import { errorCode } from '../tree/libc.ts';
import { detectCompression, readHead } from './decompress.ts';
import { directorySource } from './directory.ts';
import { archiveStore, directoryStore } from './image-store.ts';
import { imageSource } from './layers.ts';
import { archiveBytes, tarSource } from './tar.ts';
import { BLOCK, parseHeader } from './tar-format.ts';
import { tarMembers } from './tar-members.ts';

/** Names that image archives begin with, and root filesystems do not. */
const ARCHIVE_START =
  /^(blobs(\/.*)?|oci-layout|index\.json|manifest\.json|repositories|[0-9a-f]{64}(\/.*|\.json|\.tar)?)$/;

/**
 * A source for `path`; undefined when it is nothing this plugin reads. `spool` names a directory for what must be
 * read twice (compressed image archives). INPUT_INVALID when the path is not there.
 */
export async function openSource(
  path: string,
  spool: () => Promise<string>,
): Promise<ImageSource | undefined> {
  const kind = await stat(path).catch((error: unknown) => {
    throw errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR' ? notThere(path, error) : error;
  });
  if (kind.isDirectory())
    return (await isOciLayout(path)) ? imageSource(directoryStore(path)) : directorySource(path);
  if (!kind.isFile()) return undefined;
  const head = await readHead(path, BLOCK);
  const compression = detectCompression(head);
  if (compression === 'none' && !looksLikeTar(head)) return undefined;
  return (await isImageArchive(path)) ? imageSource(archiveStore(path, compression, spool)) : tarSource(path);
}

async function isOciLayout(path: string): Promise<boolean> {
  const present = (name: string) =>
    lstat(join(path, name)).then(
      (found) => found.isFile(),
      () => false,
    );
  return (await present('oci-layout')) && (await present('index.json'));
}

function looksLikeTar(head: Buffer): boolean {
  if (head.length < BLOCK) return false;
  if (head.toString('latin1', 257, 262) === 'ustar') return true;
  try {
    return parseHeader(head) !== undefined;
  } catch {
    return false;
  }
}

/** Decided by the first member: whole archives are not read to find out. */
async function isImageArchive(path: string): Promise<boolean> {
  for await (const member of tarMembers(archiveBytes(path), new AbortController().signal)) {
    return ARCHIVE_START.test(member.path.replace(/^\.\//, '').replace(/\/$/, ''));
  }
  return false;
}

function notThere(path: string, cause: unknown): OverdubError {
  return new OverdubError(
    'INPUT_INVALID',
    `${path} does not exist on the appliance.`,
    'Name a directory, a tar or an image archive that the appliance can read.',
    { cause },
  );
}

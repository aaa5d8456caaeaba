/** The iPXE binaries, from a directory, and `autoexec.ipxe`. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import { type Artifact, OverdubError } from '@overdub/core/agent';
import { DEFAULT_DIRECTORY, type IpxeOptions } from './options.ts';
import { autoexecScript } from './scripts.ts';

/** The only names served from the directory: a boot artifact is no window into the file system. */
const BINARIES: ReadonlySet<string> = new Set([
  'undionly.kpxe',
  'undionly.kkpxe',
  'ipxe.pxe',
  'ipxe.efi',
  'snponly.efi',
]);
const AUTOEXEC: ReadonlySet<string> = new Set(['autoexec.ipxe', 'ipxe/autoexec.ipxe']);

/** `ipxe/<binary>` and `autoexec.ipxe`; `undefined` for other names and for files that are not there. */
export async function ipxeArtifact(name: string, options: IpxeOptions): Promise<Artifact | undefined> {
  if (AUTOEXEC.has(name)) return textArtifact(autoexecScript());
  const file = name.startsWith('ipxe/') ? name.slice('ipxe/'.length) : '';
  return BINARIES.has(file) ? fileArtifact(path.join(directoryOf(options), file)) : undefined;
}

/** PREREQUISITE_MISSING unless the binaries that machines will ask for are there. */
export async function checkBinaries(options: IpxeOptions): Promise<void> {
  for (const file of ['undionly.kpxe', options.uefi ?? 'ipxe.efi']) {
    const where = path.join(directoryOf(options), file);
    if ((await fileArtifact(where)) !== undefined) continue;
    throw new OverdubError(
      'PREREQUISITE_MISSING',
      `boot-ipxe: the iPXE binary ${where} is not there, so no machine could netboot.`,
      options.directory === undefined
        ? 'Install the Debian package ipxe: apt-get install ipxe'
        : 'Correct the option `directory` of boot-ipxe, or leave it out and install the Debian package ipxe.',
      { plugin: 'boot-ipxe' },
    );
  }
}

function directoryOf(options: IpxeOptions): string {
  return options.directory ?? DEFAULT_DIRECTORY;
}

async function fileArtifact(file: string): Promise<Artifact | undefined> {
  const facts = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  if (!facts?.isFile()) return undefined;
  return {
    bytes: facts.size,
    contentType: 'application/octet-stream',
    etag: `"${facts.ino.toString(16)}-${facts.size.toString(16)}-${Math.trunc(facts.mtimeMs).toString(16)}"`,
    openFile: () => open(file),
    async *read(range) {
      if (range?.length === 0) return;
      const span = range && { start: range.offset, end: range.offset + range.length - 1 };
      yield* createReadStream(file, { highWaterMark: 65_536, ...span }) as AsyncIterable<Uint8Array>;
    },
  };
}

function textArtifact(text: string): Artifact {
  const content = Buffer.from(text);
  return {
    bytes: content.length,
    contentType: 'text/plain; charset=utf-8',
    etag: `"${createHash('sha256').update(content).digest('hex').slice(0, 32)}"`,
    async *read(range) {
      yield range === undefined ? content : content.subarray(range.offset, range.offset + range.length);
    },
  };
}

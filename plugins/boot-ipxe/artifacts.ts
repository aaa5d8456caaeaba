/** The iPXE binaries, from a directory, and `autoexec.ipxe`. */

import path from 'node:path';
import { type Artifact, OverdubError } from '@overdub/core/agent';
import { fileArtifact, textArtifact } from '@overdub/lib-boot';
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

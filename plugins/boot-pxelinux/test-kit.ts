/** For tests: trees like those of Debian's packages, and requests as machines make them. */

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { BootRequest, Machine, RenderRequest } from '@overdub/core';

export const MAC = '52:54:00:00:00:01';
export const PLAN = { kind: 'ramdisk', kernelArguments: ['console=tty0'], nonce: 'Abc_-9' } as const;

const REQUEST: BootRequest = {
  mac: MAC,
  arch: 'bios-x86',
  client: 'pxe',
  baseUrl: 'http://10.0.0.1:7077',
};

export function renderRequest(
  more: Partial<BootRequest> = {},
  labels: Readonly<Record<string, string>> = {},
): RenderRequest {
  return { request: { ...REQUEST, ...more }, machine: { labels } as unknown as Machine, plan: PLAN };
}

/** `usr/lib/PXELINUX` and `usr/lib/syslinux` as the packages have them; each file holds its own name. */
export async function putSyslinux(tree: string): Promise<void> {
  const files = [
    'usr/lib/PXELINUX/lpxelinux.0',
    'usr/lib/PXELINUX/pxelinux.0',
    ...['ldlinux', 'libcom32', 'reboot', 'menu'].map((name) => `usr/lib/syslinux/modules/bios/${name}.c32`),
  ];
  for (const file of files) {
    await mkdir(path.join(tree, path.dirname(file)), { recursive: true });
    await writeFile(path.join(tree, file), `<${path.basename(file)}>`);
  }
}

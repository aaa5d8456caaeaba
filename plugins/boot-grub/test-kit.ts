/** For tests: trees like those of Debian's packages, and requests as machines make them. */

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { BootRequest, Machine, RenderRequest } from '@overdub/core';

export const MAC = '52:54:00:00:00:01';
export const PLAN = { kind: 'ramdisk', kernelArguments: ['console=tty0'], nonce: 'Abc_-9' } as const;

const REQUEST: BootRequest = {
  mac: MAC,
  arch: 'uefi-x86_64',
  client: 'pxe',
  baseUrl: 'http://10.0.0.1:7077',
};

export function renderRequest(
  more: Partial<BootRequest> = {},
  labels: Readonly<Record<string, string>> = {},
): RenderRequest {
  return { request: { ...REQUEST, ...more }, machine: { labels } as unknown as Machine, plan: PLAN };
}

/** `usr/lib/shim` and `usr/lib/grub` as the packages have them; each file holds its own name. */
export async function putPackages(tree: string, debian: string, uefi: string): Promise<void> {
  const files = [
    `usr/lib/shim/shim${uefi}.efi.signed`,
    `usr/lib/shim/mm${uefi}.efi.signed`,
    `usr/lib/grub/${debian}-efi-signed/grubnet${uefi}.efi.signed`,
  ];
  for (const file of files) {
    await mkdir(path.join(tree, path.dirname(file)), { recursive: true });
    await writeFile(path.join(tree, file), `<${path.basename(file)}>`);
  }
}

/** The URL that HTTP Boot firmware is told to load. */

import type { BootArch, RenderedBoot, RenderRequest } from '@overdub/core';
import { checkedBaseUrl, loaderOf } from '@overdub/lib-boot';
import type { HttpOptions } from './options.ts';

const DEFAULT_X86 = 'ipxe/ipxe.efi';

/** The artifact of an architecture; `undefined` where its machines are not served. */
export function fileOf(arch: BootArch, options: HttpOptions): string | undefined {
  if (arch === 'uefi-x86_64') return options.files?.x86 ?? DEFAULT_X86;
  return arch === 'uefi-arm64' ? options.files?.arm : undefined;
}

/**
 * `undefined` for other clients, and for machines with the label `loader=grub`: Debian 12's signed GRUB cannot read by
 * HTTP, and unsigned files are refused where signatures are wanted, so that they boot by PXE.
 */
export function renderBoot(
  { request, machine }: RenderRequest,
  options: HttpOptions,
): RenderedBoot | undefined {
  if (request.client !== 'http' || loaderOf(machine, 'ipxe') === 'grub') return undefined;
  const file = fileOf(request.arch, options);
  if (file === undefined) return undefined;
  return { kind: 'file', name: `${checkedBaseUrl(options.url ?? request.baseUrl)}/boot/${file}` };
}

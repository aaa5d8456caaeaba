/** What each kind of client is told to load. */

import type { BootArch, BootRequest, RenderedBoot, RenderRequest } from '@overdub/core';
import { checkedBaseUrl } from '@overdub/lib-boot';
import type { IpxeOptions } from './options.ts';
import { ramdiskScript, type ScriptSite } from './scripts.ts';

/** Where the script is served. */
export const SCRIPT_PATH = '/boot/ipxe/script';

/**
 * Firmware gets the iPXE binary of its architecture, iPXE the URL of its script (asked by DHCP) or the script
 * itself. `undefined` for what Debian's iPXE and our ramdisk do not cover: arm64, unknown ones, HTTP Boot.
 */
export function renderBoot({ request, plan }: RenderRequest, options: IpxeOptions): RenderedBoot | undefined {
  if (request.arch !== 'bios-x86' && request.arch !== 'uefi-x86_64') return undefined;
  if (request.client === 'pxe') return { kind: 'file', name: `ipxe/${binaryFor(request.arch, options)}` };
  if (request.client !== 'ipxe') return undefined;
  if (request.stage === 'script')
    return { kind: 'script', text: ramdiskScript(plan, siteOf(request, options)) };
  return { kind: 'file', name: scriptUrl(request) };
}

/** What the scripts of this request depend on. */
export function siteOf(request: BootRequest, { menu }: IpxeOptions): ScriptSite {
  const { arch, baseUrl } = request;
  return { arch, baseUrl, scriptUrl: scriptUrl(request), menu };
}

function binaryFor(arch: BootArch, options: IpxeOptions): string {
  return arch === 'bios-x86' ? 'undionly.kpxe' : (options.uefi ?? 'ipxe.efi');
}

function scriptUrl(request: BootRequest): string {
  const query = new URLSearchParams({ mac: request.mac });
  if (request.uuid !== undefined) query.set('uuid', request.uuid);
  query.set('arch', request.arch);
  // Colons are legal in a query, and shorter: BOOTP's file field has 127 bytes.
  return `${checkedBaseUrl(request.baseUrl)}${SCRIPT_PATH}?${query.toString().replaceAll('%3A', ':')}`;
}

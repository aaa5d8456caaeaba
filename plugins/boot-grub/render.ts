/** What firmware and GRUB are told to load. */

import type { RenderedBoot, RenderRequest } from '@overdub/core';
import { loaderOf } from '@overdub/lib-boot';
import { shimOf, treeOf } from './files.ts';
import type { GrubOptions } from './options.ts';
import { ramdiskConfig } from './scripts.ts';

/**
 * Firmware gets shim where its machine is to boot through GRUB; GRUB its configuration. `undefined` for BIOS, for
 * machines left to iPXE, for architectures whose files there are none of, and for HTTP Boot: Debian 12's signed GRUB,
 * loaded that way, looks for its configuration by HTTP and cannot read it.
 */
export function renderBoot(input: RenderRequest, options: GrubOptions): RenderedBoot | undefined {
  const { request, machine, plan } = input;
  const { arch, client, stage } = request;
  if (treeOf(arch, options) === undefined) return undefined;
  if (client === 'grub' && stage === 'script') {
    // GRUB takes an IPv6 address as it is: a device's name has no port.
    const server = new URL(request.baseUrl).hostname.replace(/^\[|\]$/g, '');
    return { kind: 'script', text: ramdiskConfig(plan, arch, server) };
  }
  if (client !== 'pxe') return undefined;
  if (arch === 'uefi-x86_64' && loaderOf(machine, options.uefi ?? 'grub') !== 'grub') return undefined;
  const name = shimOf(arch);
  return name === undefined ? undefined : { kind: 'file', name };
}

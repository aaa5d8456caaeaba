/** What firmware and PXELINUX are told to load. */

import type { RenderedBoot, RenderRequest } from '@overdub/core';
import { BIOS_LOADERS, loaderOf } from '@overdub/lib-boot';
import { parseIpv4 } from '@overdub/lib-netboot';
import { loaderFile } from './files.ts';
import { nameFor, sessionFile } from './names.ts';
import type { PxelinuxOptions } from './options.ts';
import { ramdiskConfig } from './scripts.ts';

/**
 * BIOS firmware gets PXELINUX where its machine is to boot through it, and so does iPXE in a network card; PXELINUX gets its
 * configuration. `undefined` for UEFI, for machines left to iPXE, and where we are not reached by IPv4.
 */
export function renderBoot(input: RenderRequest, options: PxelinuxOptions): RenderedBoot | undefined {
  const { request, machine, plan } = input;
  const { arch, client, stage, baseUrl } = request;
  if (arch !== 'bios-x86') return undefined;
  const address = new URL(baseUrl).hostname;
  if (client === 'pxelinux') {
    const session = nameFor(address, sessionFile(request.mac));
    const from = options.transfer === 'tftp' ? undefined : baseUrl;
    return { kind: 'script', text: ramdiskConfig(plan, session, from) };
  }
  if ((client !== 'pxe' && client !== 'ipxe') || stage === 'script') return undefined;
  if (loaderOf(machine, options.bios ?? 'ipxe', BIOS_LOADERS) !== 'pxelinux') return undefined;
  if (parseIpv4(address) === undefined) return undefined;
  return { kind: 'file', name: nameFor(address, loaderFile(options)) };
}

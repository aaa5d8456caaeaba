/** What appliances of the boot matrix have in common: every way to boot, and a machine that wants signatures. */

import agent from '@overdub/agent';
import api from '@overdub/api-http';
import grub from '@overdub/boot-grub';
import http from '@overdub/boot-http';
import ipxe from '@overdub/boot-ipxe';
import pxe from '@overdub/boot-pxe';
import { defineConfig } from '@overdub/core';
import rsync from '@overdub/diff-rsync';
import discovery from '@overdub/discovery-netboot';
import declared from '@overdub/discovery-static';
import tree from '@overdub/imaging-tree';
import local from '@overdub/storage-local';
import { SECURE_MAC } from '../firmware.ts';

/** `OVERDUB_ARM_PACKAGES` names the tree of the arm64 packages, where the test made one. */
export function bootConfig(options: Parameters<typeof pxe>[0], host = '0.0.0.0') {
  const { OVERDUB_ARM_PACKAGES: arm } = process.env;
  const labels = { loader: 'grub' };
  const secure = { name: 'secure', macs: [SECURE_MAC], labels, admission: 'hold' as const };
  return defineConfig({
    plugins: [
      local(),
      pxe({ interface: 'br0', ...options }),
      ipxe(),
      grub({ uefi: 'ipxe', ...(arm === undefined ? {} : { arm }) }),
      http(),
      declared({ machines: [secure] }),
      discovery({ admission: 'hold' }),
      tree(),
      rsync(),
      agent(),
      api(),
    ],
    http: { host, port: 7077 },
  });
}

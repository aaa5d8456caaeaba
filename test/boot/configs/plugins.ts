/** What appliances of the boot matrix have in common: every way to boot, and machines with a loader of their own. */

import agent from '@overdub/agent';
import api from '@overdub/api-http';
import grub from '@overdub/boot-grub';
import http from '@overdub/boot-http';
import ipxe from '@overdub/boot-ipxe';
import pxe from '@overdub/boot-pxe';
import pxelinux from '@overdub/boot-pxelinux';
import { defineConfig } from '@overdub/core';
import rsync from '@overdub/diff-rsync';
import discovery from '@overdub/discovery-netboot';
import declared from '@overdub/discovery-static';
import tree from '@overdub/imaging-tree';
import local from '@overdub/storage-local';
import { PXELINUX_MAC, SECURE_MAC } from '../firmware.ts';

/** How boot-pxe is the DHCP server of its own network and of one behind a relay. */
export const SERVER: Parameters<typeof pxe>[0] = {
  mode: 'server',
  pool: { from: '10.77.0.100', to: '10.77.0.150' },
  subnets: [{ network: '10.88.0.0/24', pool: { from: '10.88.0.50', to: '10.88.0.60' } }],
  probeSeconds: 0.5,
};

interface Loaders {
  readonly ipxe?: Parameters<typeof ipxe>[0];
  readonly pxelinux?: Parameters<typeof pxelinux>[0];
  /** Plugins that make trouble. */
  readonly more?: Parameters<typeof defineConfig>[0]['plugins'];
}

/** `OVERDUB_ARM_PACKAGES` names the tree of the arm64 packages, where the test made one. */
export function bootConfig(options: Parameters<typeof pxe>[0], host = '0.0.0.0', loaders: Loaders = {}) {
  const { OVERDUB_ARM_PACKAGES: arm } = process.env;
  const machines = [
    { name: 'secure', macs: [SECURE_MAC], labels: { loader: 'grub' }, admission: 'hold' as const },
    { name: 'pxelinux', macs: [PXELINUX_MAC], labels: { loader: 'pxelinux' }, admission: 'hold' as const },
  ];
  return defineConfig({
    plugins: [
      local(),
      pxe({ interface: 'br0', ...options }),
      ipxe(loaders.ipxe),
      pxelinux(loaders.pxelinux),
      grub({ uefi: 'ipxe', ...(arm === undefined ? {} : { arm }) }),
      http(),
      declared({ machines }),
      discovery({ admission: 'hold' }),
      tree(),
      rsync(),
      agent(),
      ...(loaders.more ?? []),
      api(),
    ],
    http: { host, port: 7077 },
  });
}

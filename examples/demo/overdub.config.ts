/** The demo's appliance: the DHCP server of an isolated room, everything else as it comes. */

import agent from '@overdub/agent';
import api from '@overdub/api-http';
import ipxe from '@overdub/boot-ipxe';
import pxe from '@overdub/boot-pxe';
import { defineConfig } from '@overdub/core';
import rsync from '@overdub/diff-rsync';
import xdelta from '@overdub/diff-xdelta';
import zstd from '@overdub/diff-zstd';
import discovery from '@overdub/discovery-netboot';
import tree from '@overdub/imaging-tree';
import local from '@overdub/storage-local';

export default defineConfig({
  plugins: [
    local(),
    pxe({
      interface: 'br0',
      mode: 'server',
      pool: { from: '10.77.0.100', to: '10.77.0.199' },
      probeSeconds: 1,
    }),
    ipxe(),
    discovery({ admission: 'hold' }),
    tree(),
    rsync(),
    xdelta(),
    zstd(),
    agent(),
    api(),
  ],
  http: { host: '0.0.0.0', port: 7077 },
});

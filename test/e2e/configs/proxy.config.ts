/** An appliance beside the network's own DHCP server; machines boot on the lab's bridge. */

import agent from '@overdub/agent';
import api from '@overdub/api-http';
import ipxe from '@overdub/boot-ipxe';
import pxe from '@overdub/boot-pxe';
import { defineConfig } from '@overdub/core';
import rsync from '@overdub/diff-rsync';
import discovery from '@overdub/discovery-netboot';
import tree from '@overdub/imaging-tree';
import local from '@overdub/storage-local';

export default defineConfig({
  plugins: [
    local(),
    pxe({ interface: 'br0' }),
    ipxe(),
    discovery({ admission: 'hold' }),
    tree(),
    rsync(),
    agent(),
    api(),
  ],
  http: { host: '0.0.0.0', port: 7077 },
});

/** Beside the network's own DHCP server, and with a codec of our own in place of those that come with Overdub. */

import agent from '@overdub/agent';
import api from '@overdub/api-http';
import ipxe from '@overdub/boot-ipxe';
import pxe from '@overdub/boot-pxe';
import { defineConfig } from '@overdub/core';
import discovery from '@overdub/discovery-netboot';
import tree from '@overdub/imaging-tree';
import local from '@overdub/storage-local';
import ownCodec from './index.ts';

export default defineConfig({
  plugins: [
    local(),
    pxe({ interface: 'br0', mode: 'proxy' }),
    ipxe(),
    discovery({ admission: 'hold' }),
    tree(),
    ownCodec(),
    agent(),
    api(),
  ],
  http: { host: '0.0.0.0', port: 7077 },
});

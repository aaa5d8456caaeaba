/** What runs when there is no configuration file. The root package holds it: `createAppliance` has no defaults. */

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
import storage from '@overdub/storage-local';

/** Local storage, proxyDHCP beside the network's own DHCP server, three codecs, the agent, the API. */
export default defineConfig({
  plugins: [storage(), tree(), rsync(), xdelta(), zstd(), discovery(), pxe(), ipxe(), agent(), api()],
});

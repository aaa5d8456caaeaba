/**
 * A room of its own: this appliance is the DHCP server, its only other interface leads out. Machines of the two
 * known makers are accepted unseen, all others are held. Failures page somebody.
 */

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
import exec from '@overdub/notify-exec';
import storage from '@overdub/storage-local';

export default defineConfig({
  state: '/var/lib/overdub',
  http: { host: '10.77.0.1', port: 7077 },
  plugins: [
    storage(),
    tree(),
    rsync(),
    xdelta(),
    zstd(),
    discovery({
      admission: 'hold',
      rules: [
        { mac: '3c:ec:ef', admission: 'accept' },
        { mac: 'b4:96:91', admission: 'accept' },
      ],
    }),
    pxe({
      interface: 'eth1',
      mode: 'server',
      pool: { from: '10.77.0.100', to: '10.77.0.199' },
      router: '10.77.0.1',
      dns: ['10.77.0.1'],
    }),
    ipxe(),
    agent(),
    api(),
    exec(
      {
        command: ['/usr/bin/logger', '--tag', 'overdub', '--file', '/dev/stdin'],
        events: ['operation.failed'],
      },
      { optional: true },
    ),
  ],
});

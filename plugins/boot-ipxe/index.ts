/** Boots machines through iPXE: its binaries for firmware, a script for each machine. */

import { definePlugin } from '@overdub/core';
import { checkBinaries, ipxeArtifact } from './artifacts.ts';
import { IpxeOptions } from './options.ts';
import { renderBoot } from './render.ts';
import { registerScript } from './script-route.ts';

/** See README.md. */
export default definePlugin({
  name: 'boot-ipxe',
  apiVersion: '^1.0.0',
  options: IpxeOptions,
  apply(ctx, options) {
    ctx.hooks.boot.render.tap((input) => renderBoot(input, options));
    ctx.hooks.boot.artifact.tap(({ name }) => ipxeArtifact(name, options));
    const deps = { netboot: () => ctx.netboot, log: ctx.log, options };
    return { routes: [{ prefix: '/boot/ipxe', register: (server) => registerScript(server, deps) }] };
  },
  start: (_ctx, options) => checkBinaries(options),
});

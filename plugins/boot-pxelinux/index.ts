/** Boots BIOS machines through Debian's PXELINUX: where iPXE does not get along with a network card. */

import { definePlugin } from '@overdub/core';
import { binaryArtifact, checkFiles } from './files.ts';
import { machineConfig } from './machine-config.ts';
import { askedName, macOfConfiguration } from './names.ts';
import { PxelinuxOptions } from './options.ts';
import { renderBoot } from './render.ts';

/** See README.md. */
export default definePlugin({
  name: 'boot-pxelinux',
  apiVersion: '^1.0.0',
  options: PxelinuxOptions,
  apply(ctx, options) {
    const deps = { netboot: () => ctx.netboot, httpPort: () => ctx.http.port, log: ctx.log };
    // Before boot-ipxe, wherever that stands in the configuration: it takes every BIOS machine that is left.
    ctx.hooks.boot.render.tap((input) => renderBoot(input, options), { stage: -1 });
    ctx.hooks.boot.artifact.tap(({ name }) => {
      const asked = askedName(name);
      if (asked === undefined) return undefined;
      const mac = macOfConfiguration(asked.file);
      return mac === undefined
        ? binaryArtifact(asked.file, options)
        : machineConfig(mac, asked.address, deps);
    });
    return undefined;
  },
  start: (_ctx, options) => checkFiles(options),
});

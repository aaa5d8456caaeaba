/** Boots BIOS machines through Debian's PXELINUX: where iPXE does not get along with a network card. */

import { definePlugin } from '@overdub/core';
import { binaryArtifact, checkFiles } from './files.ts';
import { machineConfig, machineSession } from './machine-config.ts';
import { askedName, macOfConfiguration, macOfSession } from './names.ts';
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
      const configured = macOfConfiguration(asked.file);
      if (configured !== undefined) return machineConfig(configured, asked.address, deps);
      const mac = macOfSession(asked.file);
      if (mac !== undefined) return machineSession(mac, asked.address, deps);
      return binaryArtifact(asked.file, options);
    });
    return undefined;
  },
  start: (_ctx, options) => checkFiles(options),
});

/** Boots machines through Debian's signed shim and GRUB: where firmware wants signatures, and on 64-bit ARM. */

import { definePlugin } from '@overdub/core';
import { textArtifact } from '@overdub/lib-boot';
import { binaryArtifact, checkFiles } from './files.ts';
import { machineConfig } from './machine-config.ts';
import { GrubOptions } from './options.ts';
import { renderBoot } from './render.ts';
import { commonConfig } from './scripts.ts';

/** See README.md. */
export default definePlugin({
  name: 'boot-grub',
  apiVersion: '^1.0.0',
  options: GrubOptions,
  apply(ctx, options) {
    const deps = { netboot: () => ctx.netboot, httpPort: () => ctx.http.port, log: ctx.log };
    // Before boot-ipxe, wherever that stands in the configuration: it takes every x86-64 machine that is left.
    ctx.hooks.boot.render.tap((input) => renderBoot(input, options), { stage: -1 });
    ctx.hooks.boot.artifact.tap(({ name }) =>
      name === 'grub/grub.cfg'
        ? textArtifact(commonConfig())
        : name.startsWith('grub/machine/')
          ? machineConfig(name, deps)
          : binaryArtifact(name, options),
    );
    return undefined;
  },
  start: (_ctx, options) => checkFiles(options),
});

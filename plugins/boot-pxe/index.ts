/** Netboot by DHCP and TFTP: beside another DHCP server, or as the only one. */

import { definePlugin, type PluginContext } from '@overdub/core';
import { checkOptions, PxeOptions } from './options.ts';
import { type PxeService, startPxe } from './service.ts';

const running = new WeakMap<PluginContext, PxeService>();

/** See README.md. */
export default definePlugin({
  name: 'boot-pxe',
  apiVersion: '^1.0.0',
  options: PxeOptions,
  apply(_ctx, options) {
    checkOptions(options);
    return undefined;
  },
  async start(ctx, options) {
    running.set(ctx, await startPxe(ctx, options));
  },
  async stop(ctx) {
    await running.get(ctx)?.stop();
    running.delete(ctx);
  },
});

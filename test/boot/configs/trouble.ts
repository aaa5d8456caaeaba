/** Plugins of appliances on which not everything goes well. */

import { type Artifact, definePlugin, OverdubError, type PluginContext } from '@overdub/core';
import { Type } from 'typebox';

function trouble(name: string, apply: (ctx: PluginContext) => void) {
  return definePlugin({
    name,
    apiVersion: '^1.0.0',
    options: Type.Object({}),
    apply(ctx) {
      apply(ctx);
      return undefined;
    },
  })({});
}

/** DHCP says network, the first script says disk, as when somebody decides in between; all later ones say as usual. */
export function diskFirst() {
  let scripts = 0;
  return trouble('disk-first', (ctx) =>
    ctx.hooks.boot.plan.tap(({ request }) => {
      if (request.stage !== 'script') return undefined;
      scripts += 1;
      return scripts === 1 ? 'local' : undefined;
    }),
  );
}

/**
 * The ramdisk's first three downloads fail: the initramfs is not there, the kernel is not there, the initramfs breaks off.
 * Who renders a script asks for the kernel once before, and is not told.
 */
export function brokenLoads() {
  let initrds = 0;
  let kernels = 0;
  return trouble('broken-loads', (ctx) =>
    ctx.hooks.boot.artifact.tap(
      ({ name }) => {
        if (name.endsWith('/initrd')) {
          initrds += 1;
          if (initrds === 1) throw new OverdubError('INTERNAL', 'No initramfs this time.', 'Ask again.');
          if (initrds === 2) return brokenOff();
        }
        if (name.endsWith('/vmlinuz')) {
          kernels += 1;
          if (kernels === 4) throw new OverdubError('INTERNAL', 'No kernel this time.', 'Ask again.');
        }
        return undefined;
      },
      { stage: -1 },
    ),
  );
}

function brokenOff(): Artifact {
  const piece = Buffer.alloc(1 << 20);
  return {
    bytes: 60 << 20,
    contentType: 'application/octet-stream',
    etag: 'broken',
    async *read() {
      for (let pieces = 0; pieces < 8; pieces += 1) yield piece;
      throw new Error('the file breaks off');
    },
  };
}

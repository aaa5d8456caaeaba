/** agent: the ramdisk that machines boot into, and the program that runs there and in installed servers. */

import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
import { BootUrls } from './boot-urls.ts';
import { agentBundler } from './bundle.ts';
import { directoryCommands } from './commands/directory.ts';
import { serviceCommands } from './commands/service.ts';
import { createRamdiskArtifacts } from './ramdisk/artifacts.ts';
import { defaultRamdiskDir, ramdiskCommands } from './ramdisk/commands.ts';

export default definePlugin({
  name: 'agent',
  apiVersion: '^1.0.0',
  options: Type.Object(
    {
      ramdisk: Type.Optional(
        Type.String({
          description: 'Directory of the built ramdisk. Default: where `overdub ramdisk build` puts it.',
        }),
      ),
      url: Type.Optional(
        Type.String({
          pattern: '^https?://[^\\s"]+$',
          description:
            'Base URL under which machines reach the appliance. Default: the address each machine booted from.',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  apply(ctx, options) {
    const urls = new BootUrls();
    // Answers nothing: it only learns which address a machine came by before it asks for its session.
    ctx.hooks.boot.render.tap(
      ({ request, plan }) => {
        urls.remember(plan.nonce, request.baseUrl);
        return undefined;
      },
      { stage: -100 },
    );
    ctx.hooks.boot.artifact.tap(({ name }) => {
      const nonce = /^session\/([^/]+)\.cpio$/.exec(name)?.[1] ?? '';
      const dir = options.ramdisk ?? defaultRamdiskDir();
      const url = () => options.url ?? urls.of(nonce, ctx.http.port);
      return createRamdiskArtifacts({ dir, url })(name);
    });
    return {
      commands: [...ramdiskCommands, ...directoryCommands, ...serviceCommands],
      agentBundle: agentBundler(),
    };
  },
});

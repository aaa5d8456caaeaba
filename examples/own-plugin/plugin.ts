/** A site's own plugin: a notifier that keeps a diary, and a codec. */

import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
import { copyCodec } from './codec.ts';

const options = Type.Object({
  diary: Type.Optional(
    Type.String({ description: 'Path of the diary. Default: in the plugin’s state directory.' }),
  ),
});

export default definePlugin({
  name: 'site-example',
  apiVersion: '^1.0.0',
  options,
  agent: new URL('./agent.ts', import.meta.url),
  apply(ctx, { diary }) {
    ctx.hooks.diffing.codec.tap(() => copyCodec);
    ctx.hooks.notification.notify.tap(async ({ at, type, text }) => {
      const path = diary ?? join(await ctx.ensureStateDir(), 'diary.txt');
      await appendFile(path, `${at} ${type}: ${text}\n`);
    });
    return undefined;
  },
});

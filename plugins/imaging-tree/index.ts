/** imaging-tree: Linux root filesystems as masters and servers. */

import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
import { openSource } from './source/open.ts';

export default definePlugin({
  name: 'imaging-tree',
  apiVersion: '^1.0.0',
  options: Type.Object({}, { additionalProperties: false }),
  agent: new URL('./agent.ts', import.meta.url),
  agentThreads: { writer: new URL('./tree/writer/thread.ts', import.meta.url) },
  apply(ctx) {
    ctx.hooks.imaging.source.tap(({ path }) => openSource(path, () => ctx.ensureStateDir()));
    return undefined;
  },
});

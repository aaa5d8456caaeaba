/** A stranger's plugin: the codec `test-blocks`, on the appliance and on machines, and a list of what it applied. */

import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
import { testBlocksCodec } from './codec.ts';

/** In the plugin's state directory: one JSON line for each delta that was applied. */
export const APPLIED_FILE = 'applied.jsonl';

export default definePlugin({
  name: 'own-codec',
  apiVersion: '^1.0.0',
  options: Type.Object({}, { additionalProperties: false }),
  agent: new URL('./agent.ts', import.meta.url),
  apply(ctx) {
    const codec = testBlocksCodec(async (applied) => {
      const line = `${JSON.stringify(applied)}\n`;
      await appendFile(join(await ctx.ensureStateDir(), APPLIED_FILE), line);
    });
    ctx.hooks.diffing.codec.tap(() => codec);
    return undefined;
  },
});

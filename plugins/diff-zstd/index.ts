/** diff-zstd: deltas as `zstd --patch-from` makes them, compressed in the same pass. */

import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
import { zstdCodec } from './codec.ts';
import { knowsDictionaries } from './settings.ts';

export { zstdCodec } from './codec.ts';

export default definePlugin({
  name: 'diff-zstd',
  apiVersion: '^1.0.0',
  options: Type.Object({}, { additionalProperties: false }),
  agent: new URL('./agent.ts', import.meta.url),
  apply(ctx) {
    ctx.hooks.diffing.codec.tap(() => {
      if (knowsDictionaries()) return zstdCodec();
      ctx.log.warn(
        { node: process.version },
        'unavailable: this Node ignores zstd dictionaries; run Overdub under Node 24',
      );
      return undefined;
    });
    return undefined;
  },
});

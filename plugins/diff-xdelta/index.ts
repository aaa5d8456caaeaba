/** diff-xdelta: deltas in VCDIFF (RFC 3284), made by xdelta3. */

import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
import { xdeltaCodec } from './codec.ts';

export { xdeltaCodec } from './codec.ts';

export default definePlugin({
  name: 'diff-xdelta',
  apiVersion: '^1.0.0',
  options: Type.Object({}, { additionalProperties: false }),
  agent: new URL('./agent.ts', import.meta.url),
  apply(ctx) {
    ctx.hooks.diffing.codec.tap(() => xdeltaCodec());
    return undefined;
  },
});

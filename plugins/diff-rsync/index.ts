/** diff-rsync: deltas in rdiff's format, made with the base at hand or from its signature alone. */

import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
import { rsyncCodec } from './codec.ts';

export { rsyncCodec } from './codec.ts';
export { deltaFromSignature, signFile } from './signature-files.ts';

export default definePlugin({
  name: 'diff-rsync',
  apiVersion: '^1.0.0',
  options: Type.Object({}, { additionalProperties: false }),
  agent: new URL('./agent.ts', import.meta.url),
  apply(ctx) {
    ctx.hooks.diffing.codec.tap(() => rsyncCodec());
    return undefined;
  },
});

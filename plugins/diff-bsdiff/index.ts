/** diff-bsdiff: deltas in BSDIFF40, for programs whose addresses all moved a little. */

import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
import { bsdiffCodec } from './codec.ts';

export { bsdiffCodec } from './codec.ts';

const MiB = 1024 * 1024;

export default definePlugin({
  name: 'diff-bsdiff',
  apiVersion: '^1.0.0',
  options: Type.Object(
    {
      memoryMiB: Type.Integer({
        minimum: 64,
        maximum: 65_536,
        default: 2048,
        description: 'Most memory that a delta of whole files may take; 20 bytes for each of the base',
      }),
    },
    { additionalProperties: false },
  ),
  agent: new URL('./agent.ts', import.meta.url),
  apply(ctx, { memoryMiB }) {
    ctx.hooks.diffing.codec.tap(() => bsdiffCodec({ memoryBytes: memoryMiB * MiB }));
    return undefined;
  },
});

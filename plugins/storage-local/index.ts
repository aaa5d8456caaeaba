/** `storage-local`: the repository in a directory of this machine. */

import { fileURLToPath } from 'node:url';
import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
import { openLocalStore } from './store.ts';

export { type LocalStoreOptions, openLocalStore } from './store.ts';

const options = Type.Object(
  {
    reserveBytes: Type.Optional(
      Type.Integer({
        minimum: 0,
        default: 67_108_864,
        description: 'Disk space kept back, so that a full disk can still be pruned. 0 keeps none.',
      }),
    ),
  },
  { additionalProperties: false },
);

export default definePlugin({
  name: 'storage-local',
  apiVersion: '^1.0.0',
  options,
  apply(ctx, { reserveBytes }) {
    ctx.hooks.storage.open.tap(({ url }) => {
      if (!url.startsWith('file:')) return undefined;
      return openLocalStore(fileURLToPath(url), reserveBytes === undefined ? {} : { reserveBytes });
    });
    return undefined;
  },
});
